import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { embeddedPackages, embeddedRuntime, thirdPartyNotices } from "../image/notices.ts";
import type { Report } from "../image/report.ts";
import { archiveOf, bytesOf, checksums, imageOf, namingImage, notesOf, treeOf } from "./files.ts";
import { sbomText } from "./sbom.ts";

// The files of a release, from what scripts/build and scripts/image have made. Called by scripts/release.

const { values } = parseArgs({
  options: {
    ...{ built: { type: "string" }, out: { type: "string" }, version: { type: "string" } },
    ...{ commit: { type: "string" }, time: { type: "string" }, image: { type: "string" } },
  },
  strict: true,
});
const { built = "dist", out = "dist/release", version = "", commit = "", time = "0", image: named } = values;
const { homepage } = JSON.parse(await readFile("package.json", "utf8")) as { readonly homepage: string };
const naming = namingImage(named ?? imageOf(homepage));
const seconds = Number(time);
const name = `rds-csi-${version}`;
const files = new Map<string, Buffer>();

for (const target of ["x64", "arm64"])
  files.set(`${name}-linux-${target}`, await readFile(join(built, `rds-csi-linux-${target}`)));
files.set(`${name}-image.oci.tar.gz`, archiveOf(await treeOf(join(built, "image"), "."), seconds));
files.set(
  `${name}.tgz`,
  archiveOf(
    await treeOf("manifests/chart", "rds-csi", undefined, (path, bytes) => naming(`chart/${path}`, bytes)),
    seconds,
  ),
);
const manifests = await treeOf(
  "manifests",
  `${name}-manifests`,
  (path) => !/^(chart|sites)(\/|$)/.test(path),
  naming,
);
files.set(`${name}-manifests.tar.gz`, archiveOf(manifests, seconds));
const reports = JSON.parse(await readFile(join(built, "image.json"), "utf8")) as readonly Report[];
const packages = [await embeddedRuntime("."), ...(await embeddedPackages("."))];
for (const image of reports) {
  const subject = { version, commit, seconds, image, packages };
  files.set(`${name}-linux-${image.architecture}.cdx.json`, bytesOf(sbomText(subject)));
}
files.set("THIRD-PARTY-NOTICES.txt", bytesOf(await thirdPartyNotices(".")));
files.set("RELEASE-NOTES.md", bytesOf(notesOf(await readFile("CHANGELOG.md", "utf8"), version)));
files.set("SHA256SUMS", bytesOf(checksums(files)));

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
for (const [file, bytes] of files)
  await writeFile(join(out, file), bytes, { mode: /-linux-(x64|arm64)$/.test(file) ? 0o755 : 0o644 });
process.stdout.write(await readFile(join(out, "SHA256SUMS"), "utf8"));
