import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reportError } from "../../src/cli/report-error.ts";
import { ConfigError } from "../../src/config/config-error.ts";
import {
  loadControllerConfig,
  loadDiagnoseConfig,
  loadNodeConfig,
  loadVolumesConfig,
} from "../../src/config/load.ts";
import { envNameOf, type OptionTable } from "../../src/config/option.ts";
import { controllerOptions, nodeOptions, volumesOptions } from "../../src/config/options.ts";
import { readParameters } from "../../src/controller/parameters.ts";
import { DriverError } from "../../src/domain/errors/driver-error.ts";
import { isPrintable } from "../../src/domain/printable.ts";
import {
  decodePublishContext,
  encodePublishContext,
  type PublishContext,
} from "../../src/domain/publish-context.ts";
import { decodeRecord, encodeRecord } from "../../src/domain/record/record-codec.ts";
import { DEFAULT_SETTINGS } from "../../src/domain/record/volume-record.ts";
import { NEW_RECORD } from "../support/records.ts";
import { pinOf, testKey } from "../support/ssh-server.ts";
import { FUZZ_SEED, Random, SHORT_SECONDS } from "./random.ts";

const key = testKey("ed25519");
const PASSPHRASE = "hunter2-hunter2";
/** Pieces of the key that nothing may show. */
const PIECES = key.private.split("\n").filter((line) => line.length > 40);

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-fuzz-config-"));
  await writeFile(join(directory, "key"), key.private, { mode: 0o600 });
});
afterAll(() => rm(directory, { recursive: true }));

/** Repeats something random for a while. */
async function forAWhile(work: (random: Random) => unknown): Promise<void> {
  const random = new Random(FUZZ_SEED);
  const end = performance.now() + (SHORT_SECONDS * 1_000) / 2;
  while (performance.now() < end) await work(random);
}

const TABLES: readonly OptionTable[] = [controllerOptions, nodeOptions, volumesOptions];
const DEFINITIONS = TABLES.flatMap((table) => Object.values(table));
const NAMES = [...new Set(DEFINITIONS.map(({ name }) => name))];
const HOSTILE_NAMES = ["__proto__", "constructor", "toString", "config", "rds-password", "rds-key", "x", ""];

const right = (): Record<string, string> => ({
  "rds-address": "192.0.2.1",
  "rds-key-file": join(directory, "key"),
  "rds-host-key": pinOf(key.public).fingerprint,
  nodes: "n1",
  "node-id": "n1",
});

/** A value of an option: a right one, one like it, a hostile one, or a key. */
function value(random: Random, name: string): string {
  const definition = DEFINITIONS.find((each) => each.name === name);
  const usual = [
    ...(definition?.words ?? []),
    definition?.defaultText ?? "",
    new Map(Object.entries(right())).get(name) ?? "",
    "1",
    "/x",
    "a-b",
  ];
  switch (random.int(8)) {
    case 0:
      return random.text();
    case 1:
      return key.private;
    case 2:
      return random.mutated(Buffer.from(random.pick(usual))).toString();
    default:
      return random.pick(usual);
  }
}

/** A file of settings as somebody may write it, with a key in any place. */
function settingsFile(random: Random): string {
  const lines = Array.from({ length: random.int(6) }, () => {
    const name = random.chance(0.8) ? random.pick(NAMES) : random.pick(HOSTILE_NAMES);
    const text = random.chance(0.5) ? value(random, name) : random.text();
    switch (random.int(7)) {
      case 0:
        return `${JSON.stringify(random.chance(0.5) ? key.private : random.text())}: x`;
      case 1:
        return `${name}: |\n  ${text.replaceAll("\n", "\n  ")}`;
      case 2:
        return `${name}:\n  - ${JSON.stringify(text)}\n  - ${JSON.stringify(value(random, name))}`;
      case 3:
        return `? ${JSON.stringify(text)}\n: ${JSON.stringify(text)}`;
      case 4:
        return random.pick([
          `${name}: &a x\nb: *a`,
          `${name}: {__proto__: {polluted: x}}`,
          "__proto__: {polluted: x}",
          "<<: {a: b}",
        ]);
      default:
        return `${name}: ${JSON.stringify(text)}`;
    }
  });
  const text = random.chance(0.05) ? key.private : lines.join("\n");
  // A key that was changed may no longer look like one.
  const isSecret = PIECES.some((piece) => text.replaceAll(/\\n|\s/g, "").includes(piece.slice(0, 24)));
  return isSecret || random.chance(0.8) ? text : random.mutated(Buffer.from(text)).toString();
}

/** Numbers of a configuration, by their limits. */
const LIMITS = new Map([
  ["nvmePort", [1, 65_535]],
  ["shutdownTimeoutSeconds", [1, 600]],
  ["maxConcurrentConnects", [1, 64]],
  ["maxVolumesPerNode", [0, 4_096]],
]);

test("settings from flags, environment and file: accepted within their limits, or mistakes that show no key", async () => {
  const file = join(directory, "settings.yaml");
  let accepted = 0;
  await forAWhile(async (random) => {
    await writeFile(file, settingsFile(random));
    const load = random.pick([loadControllerConfig, loadNodeConfig, loadVolumesConfig, loadDiagnoseConfig]);
    const flags: Record<string, readonly string[]> = {};
    const env: Record<string, string> = {};
    for (const [name, text] of Object.entries(right())) if (random.chance(0.95)) flags[name] = [text];
    if (random.chance(0.4)) flags.config = [random.chance(0.8) ? file : value(random, "config")];
    for (let count = random.int(3); count > 0; count -= 1) {
      const name = random.chance(0.9) ? random.pick(NAMES) : random.pick(HOSTILE_NAMES);
      if (random.chance(0.5)) flags[name] = [value(random, name), ...(random.chance(0.1) ? ["x"] : [])];
      else env[envNameOf(name)] = name === "rds-password" ? PASSPHRASE : value(random, name);
    }
    let config: Readonly<Record<string, unknown>>;
    try {
      config = (await load({ flags, env })) as never;
      accepted += 1;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const text = reportError(error, true).text;
      const shown = [...PIECES, PASSPHRASE].filter((piece) => text.includes(piece.slice(0, 24)));
      if (shown.length > 0) throw new Error(`a secret is shown: ${JSON.stringify({ text, flags, env })}`);
      expect(isPrintable(text.replaceAll("\n", ""))).toBe(true);
      return;
    }
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.getPrototypeOf(config)).toBe(Object.prototype);
    expect(({} as { polluted?: string }).polluted).toBeUndefined();
    for (const [name, [least = 0, most = 0]] of LIMITS) {
      if (config[name] === undefined) continue;
      expect(config[name]).toBeGreaterThanOrEqual(least);
      expect(config[name]).toBeLessThanOrEqual(most);
    }
    if (config.pool !== undefined) expect(config.pool).toMatch(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,31}$/);
    if (config.directory !== undefined) expect(`/${config.directory}/`).not.toContain("/../");
    const parts = JSON.stringify(config, (_, each) => (typeof each === "bigint" ? String(each) : each));
    expect(PIECES.some((piece) => parts.includes(piece.slice(0, 24)))).toBe(false);
  });
  expect(accepted).toBeGreaterThan(10);
});

const PARAMETERS = [
  ...["pool", "migrationGuard", "migrationTimeoutSeconds", "ctrlLossTmo", "reconnectDelay", "keepAliveTmo"],
  ...[
    "fastIoFailTmo",
    "nrIoQueues",
    "queueSize",
    "csi.storage.k8s.io/pvc/name",
    "csi.storage.k8s.io/pvc/namespace",
  ],
];
const CONTEXT: PublishContext = {
  ...{ nqn: "nqn.2000-02.com.mikrotik:csi-1.7", address: "192.0.2.9", port: 4_420, sizeBytes: 1_048_576n },
  ...{
    hostNqn: "nqn.2014-08.org.nvmexpress:uuid:1",
    filesystemState: "new",
    readonly: false,
    ...DEFAULT_SETTINGS,
  },
};

/** A map of texts with some entries changed, left out, renamed or added. */
function changed(random: Random, map: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(map).filter(() => random.chance(0.97));
  for (let count = random.int(3); count > 0; count -= 1) {
    const [name = "", text = ""] = entries.length > 0 ? random.pick(entries) : [];
    const other = random.chance(0.5) ? random.mutated(Buffer.from(text), 2).toString() : random.text();
    entries.push([random.chance(0.8) ? name : random.text(), other]);
  }
  return Object.fromEntries(entries);
}

test("parameters of a StorageClass: settings that a record and a node take, or an error that names the key", async () => {
  let accepted = 0;
  await forAWhile((random) => {
    const numbers = ["-1", "0", "1", "5", "16", "30", "300", "3600", "86400", "1e3", "auto", "warn", "off"];
    const some = PARAMETERS.filter(() => random.chance(0.3)).map((name) => [name, random.pick(numbers)]);
    try {
      const { settings, claim, pool } = readParameters(
        changed(random, Object.fromEntries(some)),
        random.chance(0.1) ? changed(random, { pool: "p" }) : {},
      );
      accepted += 1;
      const record = { ...NEW_RECORD, settings, claim };
      expect(decodeRecord(encodeRecord(record))).toEqual({ kind: "record", record });
      const { migrationGuard, migrationTimeoutSeconds, ...connection } = settings;
      const context = { ...CONTEXT, ...connection };
      expect(decodePublishContext(encodePublishContext(context))).toMatchObject(connection);
      expect(pool ?? "p").toMatch(/^[A-Za-z0-9._-]{1,32}$/);
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      expect(error.id).toMatch(/^(parameter|attribute)(Unknown|Invalid|Fixed)$/);
      expect(isPrintable(error.message)).toBe(true);
      expect(error.message.length).toBeLessThan(3_000);
    }
  });
  expect(accepted).toBeGreaterThan(100);
});

test("a publish context: one that a node can use, or an error that names the key", async () => {
  let accepted = 0;
  await forAWhile((random) => {
    const map = changed(random, encodePublishContext(CONTEXT));
    try {
      const context = decodePublishContext(map);
      accepted += 1;
      // Read again, it is the same: nothing of it depends on a key that has no place in it.
      expect(decodePublishContext(encodePublishContext(context))).toEqual(context);
      for (const text of Object.values(encodePublishContext(context)))
        expect(text).toMatch(/^[\x21-\x7e]{1,223}$/);
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      expect(error.id).toMatch(/^field(Missing|Invalid)$/);
      expect(isPrintable(error.message)).toBe(true);
    }
  });
  expect(accepted).toBeGreaterThan(100);
});
