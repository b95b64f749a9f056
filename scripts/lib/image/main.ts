import { access, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Apt } from "./apt.ts";
import { type Assembled, assemble } from "./assemble.ts";
import { TARGETS, type Target } from "./contents.ts";
import { ImageError } from "./image-error.ts";
import { type Build, writeLayout } from "./oci.ts";
import { type Report, reportOf } from "./report.ts";
import { writeTrees } from "./tree.ts";

const repository = resolve(import.meta.dirname, "../../..");
const own = process.arch === "arm64" ? "arm64" : "x64";
const NOT_HERE = 3;

const { values } = parseArgs({
  options: {
    target: { type: "string", default: own },
    out: { type: "string", default: "dist" },
    commit: { type: "string", default: "unknown" },
    version: { type: "string", default: "0.0.0" },
    time: { type: "string", default: "0" },
    "root-only": { type: "boolean", default: false },
  },
});

/** `x64`, also spelt as containers do: `amd64`. */
function targetsOf(name: string): readonly Target[] {
  const found = TARGETS.filter((target) => name === "all" || name === target.name || name === target.oci);
  if (found.length === 0) throw new ImageError(`--target ${name} is none of x64, arm64, all`);
  return found;
}

/** Name of the directory of a root filesystem: that of this machine's architecture is `rootfs`. */
function rootName(target: Target): string {
  return target.name === own ? "rootfs" : `rootfs-linux-${target.name}`;
}

async function make(target: Target, build: Build, out: string): Promise<Assembled> {
  const executable = join(out, `rds-csi-linux-${target.name}`);
  await access(executable).catch(() => {
    throw new ImageError(`${executable} is not there: run scripts/build --target ${target.name}`);
  });
  const image = await assemble(await Apt.open(target), target, executable, repository);
  const trees = [
    { tree: image.base, seconds: image.baseTime },
    { tree: image.driver, seconds: build.time },
  ];
  await writeTrees(trees, join(out, rootName(target)));
  return image;
}

async function writeImage(images: readonly Assembled[], build: Build): Promise<void> {
  const digests = await writeLayout(images, build, join(values.out, "image"));
  const reports: Report[] = images.map((image) => reportOf(image, digests[image.target.oci] ?? ""));
  await writeFile(join(values.out, "image.json"), `${JSON.stringify(reports, null, 2)}\n`);
  for (const { architecture, digest, bytes } of reports) {
    console.log(
      `image: linux/${architecture} ${digest}, ${bytes} bytes of files, in ${join(values.out, "image")}`,
    );
  }
}

try {
  const targets = targetsOf(values.target);
  const build: Build = { version: values.version, commit: values.commit, time: Number(values.time) };
  const images: Assembled[] = [];
  for (const target of targets) images.push(await make(target, build, values.out));
  if (!values["root-only"]) await writeImage(images, build);
} catch (error) {
  if (!(error instanceof ImageError)) throw error;
  console.error(`image: ${error.message}`);
  process.exitCode = error.missing ? NOT_HERE : 1;
}
