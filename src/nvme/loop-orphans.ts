import { readFile } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { readAttribute } from "../host/block-device.ts";
import { complaint } from "../host/exec.ts";
import type { NodeSystem } from "../host/system.ts";
import { type LoopRecord, readLoopRecords } from "./loop-record.ts";

const DEADLINE_MS = 20_000;

/**
 * Which of some loop devices, whose files are known by no name of this node, it has attached all the same, by NQN: the record
 * names the device, this boot, this attaching, and the device and inode of its file, and the kernel says the same of it
 * (LOOP_GET_STATUS64, asked through losetup).
 * @param names kernel names, e.g. `loop3`
 * @throws nodeStateUnknown
 */
export async function findOrphans(
  system: Pick<NodeSystem, "exec" | "procRoot" | "sysRoot">,
  stateDir: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, LoopRecord>> {
  const found = new Map<string, LoopRecord>();
  if (names.length === 0) return found;
  const known = [...(await readLoopRecords(stateDir))].filter(([, { name }]) => names.includes(name));
  if (known.length === 0) return found;
  const boot = (await readFile(`${system.procRoot}/sys/kernel/random/boot_id`, "utf8")).trim();
  for (const [nqn, record] of known) {
    if (record.boot !== boot) continue;
    const sequence = (await readAttribute(`${system.sysRoot}/block/${record.name}/diskseq`)) ?? "";
    if (sequence === record.sequence && (await hasFile(system, record))) found.set(nqn, record);
  }
  return found;
}

async function hasFile({ exec }: Pick<NodeSystem, "exec">, record: LoopRecord): Promise<boolean> {
  const args = ["--list", "--noheadings", "--output", "NAME,BACK-MAJ:MIN,BACK-INO"];
  const result = await exec({ program: "losetup", args, deadlineMs: DEADLINE_MS });
  if (result.code !== 0) {
    throw failure("nodeStateUnknown", { what: "the files of loop devices", detail: complaint(result) });
  }
  const lines = result.stdout.split("\n").map((line) => line.trim().split(/\s+/).join(" "));
  return lines.includes(`/dev/${record.name} ${record.filesystem} ${record.inode}`);
}
