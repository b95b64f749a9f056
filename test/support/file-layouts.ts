import type { VolumeId } from "../../src/domain/volume-id.ts";
import { type FileLayout, filePathOf, parentOf } from "../../src/rds/layout.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import type { Stack } from "./rds-stack.ts";
import { until } from "./until.ts";

export { FILE_LAYOUTS, type FileLayout } from "../../src/rds/layout.ts";

/** Where a test's volume lies; left out: the default folder on the default pool. */
export interface Folder {
  readonly pool?: string;
  readonly directory?: string;
}

/** Path of a volume's file. */
export function fileOf(
  id: VolumeId,
  form: FileLayout,
  { pool = "storage-pool", directory = "csi" }: Folder = {},
): string {
  return filePathOf(pool, { directory }, id, form);
}

/** Path of what belongs to a volume and nothing else: its file, or the directory of its subvolume. */
export function placeOf(id: VolumeId, form: FileLayout, folder: Folder = {}): string {
  const file = fileOf(id, form, folder);
  return form === "plain" ? file : parentOf(file);
}

/** Files that are no directories, by path. */
export function filesOf({ simulator: { device } }: Pick<Stack, "simulator">): string[] {
  return device.files.filter(({ directory }) => !directory).map(({ path }) => path);
}

/** The living subvolumes, as the paths of their directories. */
export function subvolumesOf({ simulator: { device } }: Pick<Stack, "simulator">): string[] {
  return device.subvolumes
    .filter(({ deadUntil }) => deadUntil === undefined)
    .map((each) => device.subvolumeStore.directory(each))
    .toSorted();
}

/**
 * All that a device keeps, a line for each disk item, file, directory and living subvolume. Two equal states prove that what was done
 * between them left nothing.
 */
export function stored({ device }: Simulator): string[] {
  const disks = device.disks.map(({ slot, filePath, size, exported }) =>
    ["disk", slot, filePath, size, ...(exported ? ["exported"] : [])].join(" "),
  );
  const files = device.files.map(({ path, directory, size }) =>
    directory ? `directory ${path}` : `file ${path} ${size}`,
  );
  const subvolumes = device.subvolumes
    .filter(({ deadUntil }) => deadUntil === undefined)
    .map((each) =>
      [
        ...["subvolume", device.subvolumeStore.directory(each)],
        ...(each.snapshot ? ["of", each.parent] : []),
        ...(each.readOnly ? ["read-only"] : []),
      ].join(" "),
    );
  return [...disks, ...files, ...subvolumes].toSorted();
}

/** The lines of `stored` for a blank volume. */
export function volumeLines(
  id: VolumeId,
  form: FileLayout,
  size: bigint,
  { exported = false, ...folder }: Folder & { readonly exported?: boolean } = {},
): string[] {
  const [file, place] = [fileOf(id, form, folder), placeOf(id, form, folder)];
  const own = form === "plain" ? [] : [`directory ${place}`, `subvolume ${place}`];
  return [`disk ${id} ${file} ${size}${exported ? " exported" : ""}`, `file ${file} ${size}`, ...own];
}

/** Waits until no removed subvolume is listed any more, which keeps its name on some devices. */
export const noneDead = ({ simulator: { device } }: Pick<Stack, "simulator">): Promise<void> =>
  until("removed subvolumes are listed no more", () =>
    device.subvolumes.every(({ deadUntil }) => deadUntil === undefined),
  );

/** Makes a subvolume behind the driver's back, empty or as a snapshot of the one whose directory is `from`. Paths begin with the pool. */
export async function addSubvolume(
  { simulator: { device, switches } }: Pick<Stack, "simulator">,
  path: string,
  { from, readOnly = false }: { readonly from?: string; readonly readOnly?: boolean } = {},
): Promise<void> {
  const [slot = ""] = path.split("/", 1);
  const below = (directory: string): string => directory.slice(slot.length + 1);
  await device.makeDirectories(parentOf(path));
  const whole = from === undefined ? undefined : below(from);
  const parent = switches.snapshotParent === "name" ? whole?.slice(whole.lastIndexOf("/") + 1) : whole;
  await device.subvolumeStore.add(device.pool(slot).label, below(path), parent, readOnly);
}

/** Makes the file of a volume, as an interrupted call leaves it: with the layout `subvolume` in a subvolume of its own. */
export async function leaveFile(
  on: Pick<Stack, "simulator">,
  id: VolumeId,
  form: FileLayout,
  { size, content = "", ...folder }: Folder & { readonly size: bigint; readonly content?: string },
): Promise<void> {
  const { device } = on.simulator;
  const [file, place] = [fileOf(id, form, folder), placeOf(id, form, folder)];
  await device.makeDirectories(parentOf(place));
  if (form === "subvolume") await addSubvolume(on, place);
  await device.addFile(file, size);
  await device.writeFile(file, 0n, content);
}
