import type { VolumeId } from "../domain/volume-id.ts";
import { escapeRegex } from "../routeros/quote.ts";
import { ros, type Script } from "../routeros/script.ts";
import type { Layout } from "./layout.ts";

/** Expression: whether any disk item is backed by the file. RouterOS shows paths with a leading slash or without. */
export function fileIsBacking(path: string): Script {
  return ros`[:len [/disk/find where file-path~${`^/?${escapeRegex(path)}$`}]] > 0`;
}

/** Regular expression for the file of a volume in our folder of any pool. */
export function volumeFilePattern(layout: Pick<Layout, "directory">, id: VolumeId): string {
  return `(^|/)${escapeRegex(layout.directory)}/${escapeRegex(id)}\\.img$`;
}
