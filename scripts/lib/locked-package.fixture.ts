import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A package as a registry hands it out: a tarball with one executable file. */
export function packageOf(path: string, content: string): Buffer {
  const directory = mkdtempSync(join(tmpdir(), "rds-csi-package-"));
  try {
    const file = join(directory, "package", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content, { mode: 0o755 });
    execFileSync("tar", ["-czf", "package.tgz", "package"], { cwd: directory });
    return Buffer.from(readFileSync(join(directory, "package.tgz")));
  } finally {
    rmSync(directory, { recursive: true });
  }
}
