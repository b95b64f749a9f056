import { afterEach, describe, expect, test } from "bun:test";
import { TEST_KEYS } from "../../test/support/simulator-client.ts";
import type { SimulatorOptions } from "../simulator/simulator.ts";
import { EXPERIMENTS } from "./catalogue.ts";
import { profileOf } from "./device-profile.ts";
import { type Check, preflight } from "./preflight.ts";
import { type ProbedDevice, probed } from "./probe.fixture.ts";

const devices: ProbedDevice[] = [];
afterEach(async () => {
  for (const device of devices.splice(0)) await device.end();
});

async function start(options: SimulatorOptions = {}): Promise<ProbedDevice> {
  const device = await probed(options);
  devices.push(device);
  return device;
}

const { signal } = new AbortController();

/** The port of the exports is that of SSH here, which answers. */
async function checks(
  device: ProbedDevice,
  profile?: ReturnType<typeof profileOf>,
): Promise<readonly Check[]> {
  const { host, port } = device.simulator;
  return await preflight(device.another().bench, { port: { address: host, port }, profile }, signal);
}

const faults = (found: readonly Check[]) =>
  found.filter(({ state }) => state !== "ok").map(({ id, state, text }) => [id, state, text]);

const BOARD = "on RDS2216-2XG-4S+4XS-2XQ (arm64)";

describe("a preflight", () => {
  test("of a device that is ready has no fault, and changes nothing", async () => {
    const device = await start();
    const found = await checks(device);
    expect(faults(found)).toEqual([]);
    expect(found.map(({ id }) => id)).toEqual([
      "login",
      "version",
      "policies",
      "clock",
      "sessions",
      "pool",
      "port",
    ]);
    expect(device.simulator.commands.filter(({ mutated }) => mutated)).toEqual([]);
  });

  test("names a version that is too old", async () => {
    expect(faults(await checks(await start({ profile: "too-old" })))[0]?.slice(0, 2)).toEqual([
      "version",
      "error",
    ]);
  });

  test("names rights that are missing", async () => {
    const users = [
      { name: "probe", publicKeys: [TEST_KEYS.public], policies: ["ssh", "read", "test"] as const },
    ];
    const [fault] = faults(await checks(await start({ users })));
    expect(fault).toEqual(["policies", "error", "user probe, group probe: ssh, read, test; missing write"]);
  });

  test("names a pool that is away", async () => {
    const device = await start({ pools: [{ slot: "other", fs: "btrfs", size: 1n << 30n }] });
    expect(faults(await checks(device)).map(([id, state]) => [id, state])).toEqual([["pool", "error"]]);
  });

  test("is one line while nobody answers", async () => {
    const device = await start();
    device.simulator.faults.add({ kind: "refuseSessions", mode: "close" });
    const found = await checks(device);
    expect(found.map(({ id, state }) => [id, state])).toEqual([["login", "error"]]);
  });

  test("does not call a profile right of which no answer could be compared", async () => {
    const device = await start();
    const profile = profileOf([], ["read-only"], 0, "0.2.0");
    expect(faults(await checks(device, profile))).toEqual([
      ["profile", "warning", "no answer could be compared"],
    ]);
  });

  test("tells answers that are not as the profile has them", async () => {
    const device = await start();
    const quick = EXPERIMENTS.filter(({ id }) => ["version", "line-ends", "flags"].includes(id));
    const profile = profileOf(await device.run(quick), ["read-only"], 0, "0.2.0");
    expect(faults(await checks(device, profile))).toEqual([]);
    device.simulator.setSwitches({ lineEnding: "lf", version: "7.25 (stable)" });
    expect(faults(await checks(device, profile))).toEqual([
      [
        "profile",
        "warning",
        `line-ends is lf, was crlf; the RDS is 7.25 (stable) ${BOARD}, was 7.24.5 (stable) ${BOARD}`,
      ],
    ]);
  });

  test("tells another device from that of the profile", async () => {
    const device = await start();
    const quick = EXPERIMENTS.filter(({ id }) => id === "version");
    const { answers, ...profile } = profileOf(await device.run(quick), ["read-only"], 0, "0.2.0");
    const version = { answer: "supported", came: "7.24.5 (stable) on CHR (x86_64)" };
    expect(faults(await checks(device, { ...profile, answers: { ...answers, version } }))).toEqual([
      ["profile", "warning", `the RDS is 7.24.5 (stable) ${BOARD}, was 7.24.5 (stable) on CHR (x86_64)`],
    ]);
  });

  test.each([
    [{ comments: { answer: "short", came: "255" } }, "error", "unsafe: comments (255)"],
    [
      { grow: { answer: "sideways", came: "so" } },
      "error",
      "made by rds-csi 9.0.0, with answers that this version does not know: grow is sideways",
    ],
    [{ snapshot: { answer: "none", came: "no" } }, "ok", "as on 1970-01-01; ruled out: snapshots (snapshot)"],
  ])("with the profile %j is %s: %s", async (answers, state, text) => {
    // One that can be compared.
    const version = { answer: "supported", came: `7.24.5 (stable) ${BOARD}` };
    const profile = { ...profileOf([], ["read-only"], 0, "9.0.0"), answers: { version, ...answers } };
    const found = await checks(await start(), profile);
    expect(found.at(-1)).toMatchObject({ id: "profile", state, text });
  });
});
