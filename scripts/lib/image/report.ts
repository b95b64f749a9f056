import type { Assembled } from "./assemble.ts";
import { EXECUTABLE } from "./contents.ts";
import type { Tree } from "./tree.ts";

/** The contents of an image, for dist/image.json, tests and the page in docs/. Sizes are bytes. */
export interface Report {
  readonly architecture: string;
  /** Of its manifest. */
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  readonly executableBytes: number;
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly sha256: string;
  }[];
  readonly programs: Assembled["programs"];
  readonly libraries: Assembled["libraries"];
}

export function reportOf(
  { target, base, driver, packages, programs, libraries }: Assembled,
  digest: string,
): Report {
  const sizes = [base, driver].flatMap(fileSizes);
  const executable = driver.get(EXECUTABLE);
  return {
    architecture: target.oci,
    digest,
    files: sizes.length,
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    executableBytes: executable?.kind === "file" ? executable.bytes.length : 0,
    packages: packages.map(({ name, version, sha256 }) => ({ name, version, sha256 })),
    programs,
    libraries,
  };
}

function fileSizes(tree: Tree): readonly number[] {
  return tree.entries().flatMap(([, entry]) => (entry.kind === "file" ? [entry.bytes.length] : []));
}
