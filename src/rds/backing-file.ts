import { payload } from "../routeros/envelope.ts";
import { ros, type Script } from "../routeros/script.ts";

/** Expression: whether any disk item is backed by the file. RouterOS shows paths with a leading slash or without. */
export function fileIsBacking(path: string): Script {
  return ros`[:len [/disk/find where file-path=${path} or file-path=${`/${path}`}]] > 0`;
}

/** Statement: ends the command with the reason `pool-not-mounted`, unless the pool is mounted. */
export function requireMounted(pool: string): Script {
  return ros`:if ([:len [/disk/find where slot=${pool} and mounted]] = 0) do={ :error "rds-csi:pool-not-mounted" }`;
}

/** Condition for `where`: a file with exactly one of these paths. At least one path. */
export function anyOf(paths: readonly string[]): Script {
  return paths
    .map((path) => ros`name=${path}`)
    .reduce((conditions, condition) => ros`${conditions} or ${condition}`);
}

/**
 * Statements: removes the file with exactly this path, unless a disk item uses it (`file-in-use`), and puts the number
 * of files that are left under `left`. A file counts as absent only while its pool is mounted.
 */
export function removedFile(pool: string, path: string): Script {
  // The file that is removed was found before the look whether it is used: not one that a create made in between.
  return ros`:local rest [/file/find where name=${path}]; :if (${fileIsBacking(path)}) do={ :error "rds-csi:file-in-use" }; :if ([:len $rest] > 0) do={ /file/remove $rest }; ${payload("left", ros`[:len [/file/find where name=${path}]]`)}; ${requireMounted(pool)}`;
}

/** Statements: puts the paths of the files that have exactly one of these paths under `files`, each behind a `|`. */
export function filesAmong(paths: readonly string[]): Script {
  return ros`:local there ""; :foreach i in=[/file/find where ${anyOf(paths)}] do={ :set there ($there . "|" . [/file/get $i name]) }; ${payload("files", ros`$there`)}`;
}
