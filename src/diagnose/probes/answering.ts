import { isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import { statFilesystem } from "../../mount/stat.ts";
import type { DiagnoseContext } from "../context.ts";
import type { VolumeMount } from "./mounts.ts";

/** Whether the filesystem of a volume answers statfs. Sizes in bytes. */
export interface AnswerFacts {
  readonly volume: string;
  readonly path: string;
  readonly answer: "answers" | "silent" | "failed";
  readonly detail: string;
  readonly sizeBytes: number | undefined;
  readonly availableBytes: number | undefined;
}

/** As many children at most wait at the same time: each may stay behind. */
const AT_ONCE = 16;
const DEADLINE_MS = 2_000;

/** Asks one mount of every volume, in a process of its own: one that hangs is left to the kernel. */
export async function answerFacts(
  { system }: DiagnoseContext,
  mounts: readonly VolumeMount[],
  signal: AbortSignal,
): Promise<readonly AnswerFacts[]> {
  const first = new Map<string, VolumeMount>();
  for (const mount of mounts) {
    if (mount.volume === undefined || mount.dead || mount.deviceNode || first.has(mount.volume)) continue;
    first.set(mount.volume, mount);
  }
  const waiting = [...first];
  const facts: AnswerFacts[] = [];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [volume, { path }] = next;
      facts.push({ volume, path, ...(await ask(path)) });
    }
  };
  const ask = async (path: string): Promise<Omit<AnswerFacts, "volume" | "path">> => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
    try {
      const { blockSize, blocks, available } = await statFilesystem(system.exec, path, limit);
      const [sizeBytes, availableBytes] = [Number(blocks * blockSize), Number(available * blockSize)];
      return { answer: "answers", detail: "", sizeBytes, availableBytes };
    } catch (error) {
      const silent = limit.aborted || isFailure(error, "deadlineExceeded");
      const detail = silent ? `no answer within ${DEADLINE_MS / 1000} s` : toDriverError(error).summary;
      return {
        answer: silent ? "silent" : "failed",
        detail,
        sizeBytes: undefined,
        availableBytes: undefined,
      };
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, worker));
  return facts.toSorted((a, b) => (a.volume < b.volume ? -1 : 1));
}
