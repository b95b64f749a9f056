import { expect, test } from "bun:test";
import type { Capability } from "../../src/domain/access-mode.ts";
import { failure, isFailure } from "../../src/domain/errors/driver-error.ts";
import { decodeRecord } from "../../src/domain/record/record-codec.ts";
import { type VolumeId, volumeIdFromName } from "../../src/domain/volume-id.ts";
import { detailForm } from "../../src/routeros/reply/detail-form.ts";
import { jsonForm } from "../../src/routeros/reply/json-form.ts";
import { linesForm } from "../../src/routeros/reply/lines-form.ts";
import type { ProfileName } from "../../src/simulator/profiles.ts";
import { FILE_LAYOUTS, fileOf } from "../support/file-layouts.ts";
import type { TestConsole } from "../support/simulator-console.ts";
import { controllerOf, Findings } from "./controller.ts";
import { consoleOf, distorted, replyTo, transportTo } from "./distorted.ts";
import { FUZZ_SEED, Random, SHORT_SECONDS } from "./random.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const satisfies readonly ProfileName[];
const FORMS = [undefined, undefined, [linesForm], [detailForm], [jsonForm]] as const;
const NODES = ["node-a", "node-b"] as const;
const BLOCK: Capability = {
  accessMode: "MULTI_NODE_MULTI_WRITER",
  accessType: "block",
  fsType: "",
  mountFlags: [],
};

/** A volume has its layout as long as the test runs. */
const layoutOf = (name: string): string => (/[02]$/.test(name) ? "plain" : "subvolume");

/** The state of a volume on the device. */
function truthOf({ device }: TestConsole, id: VolumeId) {
  const disk = device.disks.find((each) => each.slot === id);
  const decoded = decodeRecord(disk?.comment ?? "");
  return {
    disk,
    record: decoded.kind === "record" ? decoded.record : undefined,
    hasFile: FILE_LAYOUTS.some((form) => device.file(fileOf(id, form)) !== undefined),
  };
}

type On = ReturnType<typeof controllerOf>;
interface Subject {
  readonly device: TestConsole;
  readonly name: string;
  readonly id: VolumeId;
  readonly nodeId: string;
}

/** Calls a verb; afterwards says why its success is untrue, if it is. */
type Verb = (on: On, subject: Subject, random: Random, signal: AbortSignal) => Promise<string | undefined>;

const said = (wrong: boolean, what: string) => (wrong ? what : undefined);

const VERBS: Readonly<Record<string, Verb>> = {
  create: async ({ volumes }, { device, name }, random, signal) => {
    const range = { requiredBytes: BigInt(1 + random.int(8)) << 20n, limitBytes: 16n << 20n };
    const wish = {
      range,
      capabilities: [BLOCK],
      parameters: { layout: layoutOf(name) },
      mutableParameters: {},
      source: undefined,
    };
    const volume = await volumes.create({ name, ...wish, signal });
    const { disk, record, hasFile } = truthOf(device, volume.id);
    if (disk?.size === undefined || !hasFile || record === undefined) return "the volume is not there";
    return said(disk.size !== volume.sizeBytes, `the size is ${disk.size}, not ${volume.sizeBytes}`);
  },
  delete: async ({ volumes }, { device, id }, _, signal) => {
    await volumes.delete(id, signal);
    const { disk, hasFile } = truthOf(device, id);
    return said(disk !== undefined || hasFile, "the volume is there");
  },
  publish: async ({ attachments }, { device, id, nodeId }, _, signal) => {
    const context = await attachments.publish({
      volumeId: id,
      nodeId,
      capability: BLOCK,
      readonly: false,
      signal,
    });
    const { disk, record } = truthOf(device, id);
    if (disk?.exported !== true) return "it is not exported";
    if (record?.attachments.some(({ node }) => node === nodeId) !== true)
      return "the record does not name the node";
    return said(disk.nqn !== context.nqn, `the NQN is ${disk.nqn}`);
  },
  unpublish: async ({ attachments }, { device, id, nodeId }, _, signal) => {
    await attachments.unpublish(id, nodeId, signal);
    const { disk, record } = truthOf(device, id);
    if (record?.attachments.some(({ node }) => node === nodeId)) return "the record names the node";
    return said(disk?.exported === true && record?.attachments.length === 0, "it is exported to nobody");
  },
  expand: async ({ expansions }, { device, id }, random, signal) => {
    const range = { requiredBytes: BigInt(8 + random.int(64)) << 20n, limitBytes: 0n };
    await expansions.expand({ volumeId: id, range, capability: BLOCK, signal });
    const { disk } = truthOf(device, id);
    return said((disk?.size ?? 0n) < range.requiredBytes, `the size is ${disk?.size}`);
  },
  modify: async ({ modifications }, { device, id }, random, signal) => {
    const keepAliveTmo = 1 + random.int(300);
    const mutableParameters = { keepAliveTmo: String(keepAliveTmo) };
    await modifications.modify({ volumeId: id, mutableParameters, signal });
    const { record } = truthOf(device, id);
    return said(
      record?.settings.keepAliveTmo !== keepAliveTmo,
      `keepAliveTmo is ${record?.settings.keepAliveTmo}`,
    );
  },
  find: async ({ rds }, { device, id }, _, signal) => {
    const found = await rds.find(id, signal);
    const { disk, record } = truthOf(device, id);
    if ((found === undefined) !== (disk === undefined)) return `${id} is ${found?.kind}`;
    if (found === undefined) return undefined;
    return said(found.kind !== "volume" || found.volume.record.epoch !== record?.epoch, "another record");
  },
  list: async ({ rds }, { device }, _, signal) => {
    const { volumes } = await rds.list(signal);
    const ids = volumes.map(({ id }) => id).sort();
    const slots = device.device.disks.map(({ slot }) => slot).filter((slot) => slot.startsWith("csi-"));
    return said(!Bun.deepEquals(ids, slots.sort() as never), `listed ${ids}, there are ${slots}`);
  },
};

test(
  `${SHORT_SECONDS} s of calls on distorted replies: what succeeds is true of the device, and nothing present is called absent`,
  async () => {
    const random = new Random(FUZZ_SEED);
    const findings = new Findings();
    const end = performance.now() + SHORT_SECONDS * 1_000;
    for (let round = 0; performance.now() < end; round += 1) {
      const profile = PROFILES[round % PROFILES.length] ?? "current";
      const device = await consoleOf(profile);
      const how: string[] = [];
      const share = random.pick([0.1, 0.3, 0.8]);
      const transport = transportTo(
        (line) => replyTo(device, line),
        (heard) => {
          if (!random.chance(share)) return heard.reply;
          const result = distorted(random, heard);
          how.push(`${heard.line.slice(0, 300)} <= ${result.how}`);
          return result;
        },
      );
      let on = controllerOf(transport, findings, device.clock, random.pick(FORMS));
      for (let call = 0; call < 40; call += 1) {
        // A controller starts again and remembers nothing.
        if (random.chance(0.1)) on = controllerOf(transport, findings, device.clock, random.pick(FORMS));
        const [what, verb] = random.pick(Object.entries(VERBS));
        const name = `pvc-${random.int(4)}`;
        const subject = { device, name, id: volumeIdFromName(name), nodeId: random.pick(NODES) };
        how.length = 0;
        const limit = new AbortController();
        const timer = setTimeout(() => limit.abort(failure("cancelled", { what })), 5_000);
        try {
          const untrue = await verb(on, subject, random, limit.signal);
          findings.count("OK");
          if (untrue !== undefined)
            findings.add(`${what} succeeded, but ${untrue}`, `${profile} ${how.join("\n")}`);
        } catch (error) {
          findings.failed(what, error);
          const isThere = truthOf(device, subject.id).disk !== undefined;
          if (isFailure(error, "volumeNotFound") && isThere)
            findings.add(`${what} calls a volume absent that is there`, `${profile} ${how.join("\n")}`);
        } finally {
          clearTimeout(timer);
        }
      }
    }
    console.log(`fuzz: ends ${JSON.stringify([...findings.ends].sort())}`);
    expect(findings.list()).toEqual([]);
    expect(findings.ends.get("OK")).toBeGreaterThan(20);
  },
  SHORT_SECONDS * 1_000 + 60_000,
);
