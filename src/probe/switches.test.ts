import { describe, expect, test } from "bun:test";
import { TEST_KEYS } from "../../test/support/simulator-client.ts";
import { PROFILES, type ProfileName } from "../simulator/profiles.ts";
import type { SimulatorOptions } from "../simulator/simulator.ts";
import { SWITCH_DOCS, type Switches } from "../simulator/switches.ts";
import { EXPERIMENTS } from "./catalogue.ts";
import { probed } from "./probe.fixture.ts";
import { settledBy } from "./run.ts";
import { UNTOLD } from "./untold.ts";

/** Values of switches that take any text or number. */
const OTHER: Readonly<Record<string, string | number>> = {
  version: "7.22.3 (stable)",
  exitOnRuntimeError: 1,
  exitOnParseError: 2,
  wrapWidth: 100,
  slotMaximum: 36,
  duplicateSlotText: "failure: slot is taken",
  readyDelayMs: 2_000,
  maxChannels: 4,
  maxSessions: 30,
  commandLimit: 12_345,
  gmtOffset: "-03:30",
  subvolumeExistsText: "failure: subvolume is there",
  directoryExistsText: "failure: directory is there",
};

/** The setting that a device shows: two settings may be one behaviour. */
function shownBy(switches: Readonly<Switches>): Readonly<Record<string, string>> {
  const isModern = !/^7\.2[01]/.test(switches.version);
  const limitsSlots = /^7\.24/.test(switches.version);
  const all = Object.fromEntries(SWITCH_DOCS.map(({ key, name }) => [name, String(switches[key])]));
  if (all["unknown-argument"] === "by-version")
    all["unknown-argument"] = isModern ? "bad-parameter" : "syntax-error";
  if (all["slot-too-long"] === "by-version") all["slot-too-long"] = limitsSlots ? "error" : "accept";
  if (all["parallel-channels"] === "second-refused") all["max-channels"] = "1";
  if (all.interleaving === "arguments") all.interleaving = "statements";
  return all;
}

/** Stages that a simulator in memory can answer, without a reboot. */
const HERE = EXPERIMENTS.filter(({ stage }) => stage !== "node" && stage !== "reboot");
/** Switches that the other stages settle, see test/lab/probe.lab.ts and reboot.test.ts. */
const ELSEWHERE = new Set(
  EXPERIMENTS.filter((each) => !HERE.includes(each)).flatMap(({ settles }) => settles),
);

/** A busy machine adds to each time. Short ones are lost among what it adds. */
const near = (name: string, found: string, set: string | undefined): boolean =>
  name === "ready-delay-ms" && (Number(set) < 1_000 || Number(found) >= Number(set));

/** Settings that were found, and differ from those of the device. */
async function mistakes(options: SimulatorOptions): Promise<[string[], string[]]> {
  const device = await probed(options);
  try {
    const found = settledBy(await device.run(HERE));
    const set = shownBy(device.simulator.switches);
    const wrong = Object.entries(found)
      .filter(([name, value]) => value !== set[name] && !near(name, value, set[name]))
      .map(([name, value]) => `${name}: ${value}, not ${set[name]}`);
    const { files, disks, subvolumes } = device.simulator.device;
    // A dead one is listed for a while.
    const alive = subvolumes.filter(({ deadUntil }) => deadUntil === undefined);
    expect([files.filter(({ path }) => path !== "storage-pool"), disks, alive]).toEqual([[], [], []]);
    return [wrong, Object.keys(found)];
  } finally {
    await device.end();
  }
}

/** Switches that a setting of another switch hides. */
function hiddenBy(key: keyof Switches, value: string | number): Partial<Switches> {
  if (key === "deadName" || key === "deadFullname") return { subvolumeRemoval: "dead" };
  if (key === "wrapPut") return { wrapWidth: 80 };
  if (key === "slotMaximum" || (key === "slotTooLong" && value === "truncate"))
    return { slotTooLong: "truncate" };
  if (key === "loginSuffix") return { wrapWidth: 80 };
  return {};
}

describe.concurrent("the probe finds the switches of a device", () => {
  for (const profile of Object.keys(PROFILES) as ProfileName[]) {
    if (profile === "too-old") continue;
    test(`of the profile ${profile}`, async () => {
      const [wrong] = await mistakes({ profile });
      expect(wrong).toEqual([]);
    });
  }

  for (const { key, name, default: usual, values } of SWITCH_DOCS) {
    if (name in UNTOLD || ELSEWHERE.has(name)) continue;
    const others = values.length > 1 ? values.filter((value) => value !== usual) : [OTHER[key] ?? ""];
    for (const value of others) {
      test(`${name}=${value}`, async () => {
        const [wrong, found] = await mistakes({
          ...(key === "resourcePolicy"
            ? {
                authorizedKeys: [],
                users: [
                  { name: "probe", publicKeys: [TEST_KEYS.public], policies: ["ssh", "read", "write"] },
                ],
              }
            : {}),
          switches: { ...hiddenBy(key, value), [key]: value },
        });
        expect(wrong).toEqual([]);
        expect(found).toContain(name);
      });
    }
  }
});

test("each switch is settled by an experiment, or has a reason", () => {
  const settled = new Set(EXPERIMENTS.flatMap(({ settles }) => settles));
  const names = SWITCH_DOCS.map(({ name }) => name);
  expect(names.filter((name) => settled.has(name) === name in UNTOLD)).toEqual([]);
});
