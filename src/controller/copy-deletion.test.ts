import { expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { outcome, untilDone } from "../../test/support/own-stack.ts";
import { LAYOUT, MIB } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { ownVolume } from "../rds/volume.ts";
import { COPY, calls, lettersOf, useCopies } from "./copies.fixture.ts";

const start = useCopies();
const clock = fastClock(400);

test.each(["busy", "ends", "goes-on"] as const)(
  "another process copies part after part, a disk in use %s: DeleteVolume ends with the part that is being copied",
  async (copyInUse) => {
    const switches = { copyInUse, interleaving: "statements" } as const;
    const on = await start({ clock, chunkBytes: MIB / 16n, switches });
    on.simulator.setSwitches({ copyMs: 200_000 });
    const parts = () => on.simulator.commands.filter(({ line }) => line.includes("/disk/copy"));
    const isEnded = () => parts().every(({ finishedAt }) => finishedAt !== undefined);
    const given = outcome(calls.copy(on));
    await until("a part is being copied", () => parts().length > 0 && !isEnded());
    const by = on.controller();
    const first = await outcome(by.volumes.delete(COPY, on.signal));
    const begun = parts().length;
    if (copyInUse === "busy") expect(first).toMatch(/^UNAVAILABLE: .* is busy/);
    await until("it is deleted", async () => (await outcome(by.volumes.delete(COPY, on.signal))) === "OK");
    expect(parts().length).toBe(begun);
    await until("the part has ended", isEnded);
    expect(on.simulator.device.disk(COPY)).toBeUndefined();
    expect(await given).not.toBe("OK");
    on.simulator.setSwitches({ copyMs: 0 });
    await until("it is made anew", async () => (await outcome(calls.copy(by))) === "OK");
    expect(await lettersOf(on)).toBe("ABC");
  },
);

test("a removal that looked while the volume was being copied leaves the finished one as it is", async () => {
  const on = await start({ clock });
  const { faults, device } = on.simulator;
  faults.hang({ line: /\/disk\/copy/ });
  const given = untilDone(() => calls.copy(on), 100);
  await until("a part is held", () => faults.hanging > 0);
  const by = on.controller();
  const { found, mounted } = await by.rds.forRemoval(COPY, on.signal);
  const volume = ownVolume(found);
  if (volume?.record.copy === undefined) throw new Error("it is finished already");
  faults.release();
  await given;
  const before = device.disk(COPY);
  expect(await by.rds.remove(volume, LAYOUT, mounted, on.signal)).toBe("changed");
  expect(device.disk(COPY)).toEqual(before);
  expect(await lettersOf(on)).toBe("ABC");
});
