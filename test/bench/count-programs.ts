import { writeSync } from "node:fs";
import process from "node:process";
import { MIB } from "../support/rpc.ts";
import { nodeCalls, onNodeStand } from "./stage.ts";
import { startedPrograms } from "./started-programs.ts";

// A program of its own for budgets.ts, which runs it in a PID namespace. Prints the counts as JSON.

const ROUNDS = 2;
/** Not counted: the program of the loop data path, which is also asked when others on this machine have attached loop devices. */
const LOOPS = "losetup";

const counts: Record<string, number> = {};
await onNodeStand(async (stand, pid) => {
  for (let round = 0; round < ROUNDS; round++) {
    const calls = await nodeCalls(stand, `counted-${round}`, 64n * MIB);
    const count = async (rpc: string, call: () => Promise<unknown>) => {
      const name = `${rpc}, processes`;
      const programs = (await startedPrograms(pid, call)).filter((program) => program !== LOOPS);
      counts[name] = Math.min(programs.length, counts[name] ?? Number.POSITIVE_INFINITY);
    };
    await count("NodeStageVolume of a new ext4", calls.stage);
    await count("NodePublishVolume", calls.publish);
    await count("NodeGetVolumeStats", calls.stats);
    await calls.grow();
    await count("NodeExpandVolume", calls.expand);
    await count("NodeUnpublishVolume", calls.unpublish);
    await count("NodeUnstageVolume", calls.unstage);
    await count("NodeStageVolume of that ext4 again", calls.stage);
    await calls.unstage();
    await calls.remove();
  }
});
writeSync(1, `${JSON.stringify(counts)}\n`);
process.exit(0);
