import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectClient } from "../../test/support/csi-server.ts";
import { testKey } from "../../test/support/ssh-server.ts";
import { Controller, CreateSnapshotResponseSchema } from "../csi/gen/csi_pb.ts";
import { parseProfile } from "../probe/device-profile.ts";
import { eventually, type Run, startProgram } from "./cli.fixture.ts";

let directory = "";
const key = testKey("ed25519");
const running: Run[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-probe-"));
  await writeFile(join(directory, "key"), key.private, { mode: 0o600 });
  await writeFile(join(directory, "key.pub"), `${key.public}\n`);
});
afterEach(async () => {
  for (const run of running.splice(0)) {
    if (run.child.exitCode === null && run.child.signalCode === null) run.child.kill("SIGTERM");
    await run.exit;
  }
});
afterAll(() => rm(directory, { recursive: true }));

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const run = startProgram(args, env);
  running.push(run);
  return run;
}

/** Starts a simulator. @returns the options that reach it */
async function simulate(name: string, more: readonly string[]): Promise<readonly string[]> {
  const hostKey = join(directory, `${name}.pub`);
  const run = start([
    ...["simulate", "--dir", join(directory, name), "--listen", "127.0.0.1:0", "--backend", "memory"],
    ...["--authorized-keys-file", join(directory, "key.pub"), "--host-key-file", hostKey, ...more],
  ]);
  await eventually(run, () => run.output.out.includes("\n"), "the ready line");
  const address = /^ready (\S+) /.exec(run.output.out)?.[1] ?? "";
  return ["--rds-address", address, "--rds-key-file", join(directory, "key"), "--rds-host-key-file", hostKey];
}

async function ran(args: readonly string[]): Promise<{ code: number | string; out: string; err: string }> {
  const run = start(args);
  return { code: await run.exit, ...run.output };
}

/** Lines of a profile file that are the same for two devices with one behaviour. */
const answersOf = (text: string) =>
  Object.entries(parseProfile(text, "").answers).map(([id, { answer }]) => `${id} ${answer}`);

describe("rds-csi probe", () => {
  test("two commands lead from a device to a simulator that behaves so", async () => {
    const [first, second] = ["box.yaml", "again.yaml"].map((name) => join(directory, name)) as [
      string,
      string,
    ];
    const options = ["--scratch", "--exported", "--idle", "1", "--save"];
    const box = await simulate("box", ["--profile", "strict", "--switch", "subvolume-in-use=allowed"]);
    const asked = await ran(["probe", ...box, ...options, first]);
    expect([asked.code, asked.err.split("\n")[0]]).toEqual([
      0,
      "1/51 host-key: Of which type is the host key? The probe reads `/ip/ssh`.",
    ]);
    expect(asked.out).toMatch(
      /^None of these 51 answers makes the driver unsafe here\.\n\nTO KNOW\n {2}file-in-use: [\s\S]*\n {2}subvolume-in-use: [\s\S]*\n\nHANDLED BY THE DRIVER\n/,
    );
    expect(asked.out).toMatch(
      /\nNot asked: --node, a reboot \(--before-reboot\)\.\n\S+: 51 questions, 0 unsafe, 2 to know, 0 open or unclear\.\n$/,
    );
    expect(asked.err).toEndWith(
      `\n${first} has the answers. docs/probe.md: how a simulator and a controller take them.\n`,
    );

    const copy = await simulate("copy", ["--profile-file", first]);
    expect((await ran(["probe", ...copy, ...options, second])).code).toBe(0);
    const text = await readFile(second, "utf8");
    expect(answersOf(text)).toEqual(answersOf(await readFile(first, "utf8")));
    expect(answersOf(text)).toContain("subvolume-in-use allowed");
    expect(parseProfile(text, "").switches["ready-delay-ms"]).toBe("0");
    for (const secret of [key.private, "127.0.0.1"]) expect(text).not.toContain(secret);

    // A file that exists is somebody's.
    const again = await ran(["probe", ...copy, "--save", second]);
    expect(again).toMatchObject({ code: 2, out: "" });
    expect(again.err).toContain(`--save names "${second}", which exists`);
    expect(await readFile(second, "utf8")).toBe(text);
  });

  test("an unsafe answer comes first, and gives code 4", async () => {
    const box = await simulate("unsafe", ["--switch", "slot-maximum=20"]);
    const { code, out } = await ran(["probe", ...box, "--scratch", "--idle", "1"]);
    expect(code).toBe(4);
    expect(out).toMatch(
      /^UNSAFE HERE: do not run the driver on this RDS as it is\n {2}slot-length: How long may a slot be\?\n {4}came: {2}too-short/,
    );
  });

  test("leaves no file of a probe that came to nothing, so that it can be repeated", async () => {
    const save = join(directory, "nothing.yaml");
    const box = await simulate("no-pool", []);
    const noPool = await ran(["probe", ...box, "--pool", "away", "--scratch", "--save", save]);
    expect(noPool).toMatchObject({ code: 1, out: "" });
    expect(noPool.err).toStartWith('rds-csi: pool "away" does not exist on the RDS.\n  Set ');
    const nobody = await ran(["probe", ...box.with(1, "127.0.0.1:1"), "--save", save]);
    expect(nobody.code).toBe(1);
    const noBundle = await ran(["probe", ...box, "--save", save, "--bundle", join(directory, "away/b.json")]);
    expect([noBundle.code, noBundle.err]).toEqual([
      2,
      expect.stringContaining("whose directory does not exist"),
    ]);
    expect(existsSync(save)).toBe(false);
  });

  test.each([
    [["--read-only", "--scratch"], "--read-only cannot go with --scratch."],
    [["--before-reboot", "--after-reboot"], "--before-reboot cannot go with --after-reboot."],
    [["--before-reboot", "--save", "/tmp/x"], "--before-reboot cannot go with --save."],
    [["--after-reboot", "--exported", "--node"], "--after-reboot cannot go with --exported, --node."],
  ])("%j exclude each other, and nothing is asked", async (flags, message) => {
    const { code, err } = await ran(["probe", ...flags]);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });

  test("a bundle hides the user's name, and no word of a name that everybody has", async () => {
    const [bundle, other] = ["csi.json", "other.json"].map((name) => join(directory, name)) as [
      string,
      string,
    ];
    const box = await simulate("bundled", []);
    expect((await ran(["probe", ...box, "--idle", "1", "--bundle", bundle])).code).toBe(0);
    const text = await readFile(bundle, "utf8");
    expect([
      JSON.parse(text).apiVersion,
      text.includes("<hidden>-probe"),
      text.includes("127.0.0.1"),
    ]).toEqual(["rds-csi/v1", false, false]);
    const alice = await simulate("alices", ["--user", "alice"]);
    const asked = await ran(["probe", ...alice, "--rds-user", "alice", "--idle", "1", "--bundle", other]);
    expect(asked.code).toBe(0);
    const hidden = await readFile(other, "utf8");
    expect([hidden.includes("alice"), hidden.includes("user <hidden>, group <hidden>")]).toEqual([
      false,
      true,
    ]);
  });

  test("--node says what this machine lacks", async () => {
    const box = await simulate("no-node", []);
    const { code, err } = await ran(["probe", ...box, "--node", "--nvme-address", "192.0.2.1"]);
    expect(code).toBe(2);
    expect(err).toContain("--node cannot be done here: ");
  });
});

const profile = (answers: string) =>
  `format: 1\nprobedAt: 2026-11-28T08:00:00Z\nprobedBy: 0.2.0\nstages: []\nswitches: {}\nanswers:\n${answers}`;
const unsafeProfile = profile("  comments:\n    answer: short\n    came: 255\n");

describe("a controller with a device profile", () => {
  async function controller(text: string, more: readonly string[] = []): Promise<Run> {
    const file = join(directory, "profile.yaml");
    await writeFile(file, text);
    const box = await simulate("for-controller", []);
    const socket = join(directory, "controller.sock");
    return start(
      ["controller", ...box, "--orchestrator", "none", "--nodes", "n1", "--device-profile", file, ...more],
      {
        CSI_ENDPOINT: `unix://${socket}`,
      },
    );
  }

  test("refuses what its answers rule out, with the experiment", async () => {
    const run = await controller(profile("  snapshot:\n    answer: empty\n    came: made without files\n"));
    const socket = join(directory, "controller.sock");
    await eventually(run, () => existsSync(socket), "the socket");
    const client = connectClient(socket);
    const request = { name: "s", sourceVolumeId: "csi-0123456789abcdef0123456789ab" };
    const call = client.start(Controller, "createSnapshot", CreateSnapshotResponseSchema, request);
    const error = await call.result.then(
      () => undefined,
      (refused: unknown) => refused,
    );
    client.close();
    expect(error).toMatchObject({ code: 9 });
    expect(String(error)).toContain(
      "this RDS cannot do snapshots: the answer to the experiment snapshot of `rds-csi probe` is empty (made without files)",
    );
    await eventually(run, () => run.output.err.includes("preflight ended"), "the preflight");
    expect(run.output.err).toContain("the device profile leaves premises open");
    expect(run.output.err).toContain("copies: file-that-exists was not answered");
  });

  test.each([
    [
      "an unsafe answer",
      unsafeProfile,
      [],
      "--device-profile, answer comments (255) makes the driver unsafe on this RDS",
    ],
    [
      "a list of hosts that the RDS ignores",
      profile("  allow-list:\n    answer: ignored\n    came: a stranger connects\n"),
      ["--fencing", "epoch+hosts"],
      "--fencing is epoch+hosts, which this RDS cannot do: allow-list is ignored (a stranger connects)",
    ],
    [
      "an answer of a later version",
      profile("  snapshot:\n    answer: half\n    came: so\n"),
      [],
      "--device-profile has an answer that this version does not know: snapshot is half",
    ],
    ["no profile", "hello", [], "has no key format, so it is no device profile"],
    ["a profile that was cut", profile("").replace("answers:\n", ""), [], "answers is no map of experiments"],
  ])("does not start with %s", async (_, text, more, message) => {
    const run = await controller(text, more);
    expect(await run.exit).toBe(2);
    expect(run.output.err).toContain(message);
  });
});

describe("rds-csi check", () => {
  test("prints a line for each check, and its code is that of the worst", async () => {
    const box = await simulate("checked", ["--profile", "too-old"]);
    const { code, out } = await ran(["check", ...box, "-o", "json"]);
    const { items } = JSON.parse(out);
    expect([code, items.map(({ id, state }: { id: string; state: string }) => `${id} ${state}`)]).toEqual([
      4,
      ["login ok", "version error", "policies ok", "clock ok", "sessions ok", "pool ok", "port warning"],
    ]);
    // A profile with which a controller would not start is an error here too.
    const file = join(directory, "unsafe.yaml");
    await writeFile(file, unsafeProfile);
    const withProfile = await ran(["check", ...box, "--device-profile", file]);
    expect(withProfile).toMatchObject({ code: 4, err: "" });
    expect(withProfile.out).toMatch(/\nerror {3}profile {3}unsafe: comments \(255\)\n/);
    const text = await ran(["check", ...box]);
    expect(text.out).toMatch(
      /^ok {6}login {5}csi at 127\.0\.0\.1:\d+, the host key is pinned\nerror {3}version {3}7\.20/,
    );
  });
});
