import { describe, expect, test } from "bun:test";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { BLOCK, noDevices } from "../../../test/support/loop-node.ts";
import type { DataPath } from "../../host/data-path.ts";
import { lab, MIB, outcome, paths, Staged, useExpandRig } from "./expand.fixture.ts";

/** A clock that a sleep moves. */
function quickClock() {
  let now = 0;
  const sleep = async (ms: number): Promise<void> => {
    now += ms;
  };
  return { now: () => now, monotonic: () => now, sleep };
}

describe.skipIf(noDevices !== "")(`NodeExpandVolume and a size that does not show ${noDevices}`, () => {
  useExpandRig();

  test("a size that the target does not show: told, with the remedy; once it is shown, it is taken", async () => {
    const clock = quickClock();
    const patient = lab.node("node-a", { clock });
    const staged = await (await new Staged(BLOCK, 8).stage()).publish();
    staged.volume.grow(24, "later");
    const call = staged.expand({ volumePath: staged.target }, patient);
    await expect(call).rejects.toMatchObject({ id: "expansionNotSeen", code: 9 });
    await expect(call).rejects.toThrow(/attached anew.*--online-expansion re-export/);
    expect(clock.now()).toBeGreaterThanOrEqual(25_000);
    staged.volume.export();
    expect(await staged.expand({ volumePath: staged.target }, patient)).toBe(24n * MIB);
    await staged.unstage();
  });

  describe("a size that the target does not show", () => {
    const MINUTE = 60_000;
    /** A published block volume that has grown unseen, with a target in a directory as kubelet makes it for a pod. */
    async function unseen() {
      const clock = quickClock();
      const patient = lab.node("node-a", { clock });
      const staged = await new Staged(BLOCK, 8).stage();
      const directory = lab.path(`pod-${paths}`);
      mkdirSync(directory);
      Object.assign(staged, { target: `${directory}/mount` });
      await staged.publish();
      staged.volume.grow(24, "later");
      const asOf = (file: string, minutesAgo: number) => {
        const at = (clock.now() - minutesAgo * MINUTE) / 1_000;
        utimesSync(file, at, at);
      };
      await clock.sleep(Date.now());
      const expand = (over = {}) => outcome(staged.expand({ volumePath: staged.target, ...over }, patient));
      return { clock, staged, directory, asOf, expand };
    }

    test("in use: the call is repeated for ten minutes, and finishes once the size is there", async () => {
      const { clock, staged, directory, asOf, expand } = await unseen();
      asOf(directory, 3);
      const answers: string[] = [];
      for (let minute = 0; minute < 9; minute += 1) {
        answers.push(await expand());
        await clock.sleep(MINUTE - 25_000);
      }
      expect(new Set(answers)).toEqual(new Set(["UNAVAILABLE expansionNotSeenYet"]));
      await clock.sleep(2 * MINUTE);
      // kubelet would start no pod with an error that is repeated, so it is not for ever.
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      // Another growth has its own time.
      const range = { requiredBytes: 25n * MIB, limitBytes: 0n };
      expect(await expand({ range })).toBe("UNAVAILABLE expansionNotSeenYet");
      staged.volume.export();
      expect(await expand()).toBe("OK");
      await staged.unstage();
    });

    test("for a pod that is only being started: an error that lets it start", async () => {
      const { staged, directory, asOf, expand } = await unseen();
      asOf(directory, 1);
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      // Mounted anew for a pod of before, as after a reboot of the node.
      const record = `${directory}/vol_data.json`;
      writeFileSync(record, "{}");
      asOf(directory, 60);
      asOf(record, 1);
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      asOf(record, 60);
      expect(await expand()).toBe("UNAVAILABLE expansionNotSeenYet");
      // A clock that went back says nothing about the age.
      asOf(directory, -60);
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      await staged.unstage();
    });
  });

  test("while the connection is down it is waited for; it is not taken for a target that shows nothing", async () => {
    let backAt = Number.POSITIVE_INFINITY;
    const clock = quickClock();
    const flaky = lab.node(
      "node-a",
      { clock },
      (real): DataPath => ({
        ...real,
        list: async () =>
          (await real.list()).map((each) => (clock.now() < backAt ? { ...each, state: "connecting" } : each)),
      }),
    );
    const staged = await (await new Staged(BLOCK, 8).stage()).publish();
    staged.volume.grow(24);
    expect(await outcome(staged.expand({ volumePath: staged.target }, flaky))).toBe(
      "UNAVAILABLE deviceNotReady",
    );
    backAt = clock.now() + 4_000;
    expect(await staged.expand({ volumePath: staged.target }, flaky)).toBe(24n * MIB);
    await staged.unstage();
  });
});
