import { afterAll, beforeAll, describe, test } from "bun:test";
import process from "node:process";
import { noContainers } from "./container/container.ts";
import { kind, noLab } from "./kind.ts";
import { World, type WorldOptions } from "./world.ts";

const BOOT_MS = 180_000 * kind.slowness;

/** Seconds since 1970 after which no file of scenarios begins: .ci/run has to end in time. */
const UNTIL = Number(process.env.RDS_CSI_LAB_UNTIL ?? Number.POSITIVE_INFINITY);

/** Why these scenarios cannot run, for their names; "" when they can. */
function missing({ hostTree = false, containers = false, lacks = "" }: WorldOptions): string {
  if (Date.now() / 1_000 > UNTIL) return "(skipped: no time is left)";
  if (noLab === "" && containers) return noContainers;
  if (noLab === "" && hostTree && !kind.hasHostTree)
    return "(skipped: such machines do not have the host's tree)";
  return noLab === "" ? lacks : noLab;
}

/** Tests of one installation; after a failure all of its logs are kept. */
export function lab(
  title: string,
  options: WorldOptions,
  tests: (scenario: (name: string, run: (world: World) => Promise<void>) => void) => void,
): void {
  const why = missing(options);
  describe.skipIf(why !== "")(`${title} ${why}`.trim(), () => {
    let world: World | undefined;
    let failed = false;
    beforeAll(async () => {
      world = await World.start(options);
    }, BOOT_MS);
    afterAll(() => world?.close(failed), BOOT_MS);
    tests((name, run) =>
      test(name, async () => {
        if (world === undefined) throw new Error("the lab did not start");
        try {
          await run(world);
        } catch (error) {
          failed = true;
          throw error;
        } finally {
          for (const cable of world.cables.values()) cable.mend();
        }
      }),
    );
  });
}
