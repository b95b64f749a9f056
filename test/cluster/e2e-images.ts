import { existsSync } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Tree } from "../../scripts/lib/image/tree.ts";
import { archiveNamed, busyboxTree, writeArchive } from "./images.ts";
import { run } from "./run.ts";

const E2E = "registry.k8s.io/e2e-test-images";

/**
 * Writes an archive with the images that Kubernetes' storage tests name, made of Debian's programs; the one that is there is kept.
 * Versions are those of Kubernetes 1.36, test/utils/image/manifest.go.
 * @returns its path
 */
export async function makeE2eImages(programs: string): Promise<string> {
  const file = await archiveNamed(programs, "images-e2e", import.meta.filename);
  if (existsSync(file)) return file;
  const tree = await busyboxTree(programs);
  // busybox's dd has no nocache and direct, and its sh prefers applets to files and knows no `let`.
  await addProgram(tree, "/bin/dd", "bin/dd");
  await addProgram(tree, "/bin/bash", "bin/sh");
  tree.add("usr/bin/env", { kind: "link", target: "/bin/env" });
  await writeArchive(file, [
    {
      references: [`${E2E}/busybox:1.37.0-1`, `${E2E}/nginx:1.15-4`, `${E2E}/glibc-dns-testing:2.0.0`],
      tree,
      config: { Cmd: ["/bin/sh"] },
    },
    {
      references: [`${E2E}/agnhost:2.63.0`],
      tree: await withAgnhost(programs, tree),
      config: { Entrypoint: ["/agnhost"], Cmd: ["pause"] },
    },
  ]);
  return file;
}

async function withAgnhost(programs: string, tree: Tree): Promise<Tree> {
  const bytes = await readFile(join(programs, "bin/agnhost"));
  tree.add("agnhost", { kind: "file", mode: 0o755, bytes });
  return tree;
}

/** Adds a program of this computer, with the libraries that it is linked with. */
async function addProgram(tree: Tree, program: string, path: string): Promise<void> {
  tree.add(path, { kind: "file", mode: 0o755, bytes: await readFile(program) });
  const listed = await run("ldd", [program]);
  for (const [library] of listed.matchAll(/\/\S+\.so\S*/g)) {
    const bytes = await readFile(await realpath(library));
    // Debian's /lib is a link to /usr/lib; in the image both are directories.
    tree.add(join(dirname(library), library.split("/").at(-1) ?? "").slice(1), {
      kind: "file",
      mode: 0o755,
      bytes,
    });
  }
}
