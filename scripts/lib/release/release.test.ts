import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Report } from "../image/report.ts";
import { archiveOf, bytesOf, checksums, imageOf, namingImage, notesOf, treeOf } from "./files.ts";
import { sbomText } from "./sbom.ts";

test("an archive depends on names, modes and contents only", async () => {
  const archive = async (later: boolean, content = "a") => {
    const folder = mkdtempSync(join(tmpdir(), "rds-csi-release-"));
    try {
      writeFileSync(join(folder, "b"), "b", { mode: later ? 0o664 : 0o644 });
      writeFileSync(join(folder, "run"), content, { mode: 0o755 });
      symlinkSync("run", join(folder, "link"));
      writeFileSync(join(folder, "left-out"), "x");
      if (later) utimesSync(join(folder, "b"), 1, 1);
      return archiveOf(await treeOf(folder, "top", (path) => path !== "left-out"), 1_700_000_000);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  const first = await archive(false);
  expect(await archive(true)).toEqual(first);
  expect(await archive(false, "other")).not.toEqual(first);
  const { stdout } = Bun.spawnSync(["tar", "-tvzf", "-"], {
    stdin: first,
    env: { PATH: process.env.PATH, TZ: "UTC" },
  });
  const lines = String(stdout).trim().split("\n");
  expect(lines.map((line) => [line.slice(0, 10), line.split(" 2023-11-14 22:13 ")[1]])).toEqual([
    ["drwxr-xr-x", "top/"],
    ["-rw-r--r--", "top/b"],
    ["lrwxrwxrwx", "top/link -> run"],
    ["-rwxr-xr-x", "top/run"],
  ]);
});

test("the packed manifests name the published image, wherever its name stands", async () => {
  const naming = namingImage(imageOf("https://github.com/Example/rds-csi#readme"));
  const tree = await treeOf("manifests", "m", (path) => !path.startsWith("sites"), naming);
  const named = [...tree.entries()].filter(
    ([, entry]) => entry.kind === "file" && String(entry.bytes).includes("ghcr.io/example/rds-csi"),
  );
  expect(named.map(([path]) => path).sort()).toEqual([
    "m/chart/values.yaml",
    "m/examples/site/kustomization.yaml",
  ]);
  expect(() => naming("chart/values.yaml", bytesOf("image: {}\n"))).toThrow("no place for the name");
  expect(() => imageOf("https://example.org/rds-csi")).toThrow("use --image");
});

test("checksums as sha256sum reads them", () => {
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  expect(
    checksums(
      new Map([
        ["z", bytesOf("")],
        ["a", bytesOf("")],
      ]),
    ),
  ).toBe(`${empty}  a\n${empty}  z\n`);
});

test("notes are the section of the version", () => {
  const log = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.1.0] - 2026-01-01\n\n### Added\n\n- first\n";
  expect(notesOf(log, "0.1.0")).toBe("# rds-csi 0.1.0\n\n### Added\n\n- first\n");
  expect(notesOf(log, "0.2.0-dev")).toBe("# rds-csi 0.2.0-dev\n\n- new\n");
  expect(() => notesOf(log, "0.3.0")).toThrow("CHANGELOG.md has no section ## [0.3.0]");
});

test("a bill of materials lists everything, says the same each time, and names what each package is", () => {
  const sha256 = "0".repeat(64);
  const image = {
    ...{ architecture: "arm64", digest: `sha256:${sha256}`, files: 1, bytes: 1, executableBytes: 1 },
    ...{ packages: [{ name: "libc6", version: "1:2.36-9+deb12u14", sha256 }], programs: [], libraries: [] },
  } as unknown as Report;
  const packages = [
    { name: "@grpc/grpc-js", version: "1.14.7", license: "Apache-2.0", texts: [] },
    { name: "both", version: "1.0.0", license: "MIT OR Apache-2.0", texts: [] },
    { name: "own", version: "1.0.0", license: undefined, texts: ["text"] },
  ];
  const subject = { version: "1.2.3", commit: "abc", seconds: 1_700_000_000, image, packages };
  const text = sbomText(subject);
  expect(sbomText({ ...subject, packages: packages.toReversed() })).toBe(text);
  const bom = JSON.parse(text);
  expect([bom.specVersion, bom.metadata.component.version, bom.metadata.timestamp]).toEqual([
    "1.6",
    "1.2.3",
    "2023-11-14T22:13:20.000Z",
  ]);
  expect(
    bom.components.map(({ purl, licenses = [] }: { purl: string; licenses?: unknown[] }) => [purl, licenses]),
  ).toEqual([
    ["pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u14?arch=arm64", []],
    ["pkg:npm/%40grpc/grpc-js@1.14.7", [{ license: { id: "Apache-2.0" } }]],
    ["pkg:npm/both@1.0.0", [{ expression: "MIT OR Apache-2.0" }]],
    ["pkg:npm/own@1.0.0", []],
  ]);
});
