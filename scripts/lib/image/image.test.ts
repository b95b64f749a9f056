import { expect, test } from "bun:test";
import { join } from "node:path";
import { NODE_TOOLS } from "../../../src/host/tools.ts";
import {
  CERTIFICATES,
  DATA_FILES,
  DEBIAN,
  EXECUTABLE,
  LOADED_LIBRARIES,
  PROGRAMS,
  packagesOf,
  USER,
} from "./contents.ts";
import { dependencies } from "./deb.ts";
import { imagePage, withoutFigures } from "./docs.ts";
import { thirdPartyNotices } from "./notices.ts";
import type { Report } from "./report.ts";
import { merged } from "./store.ts";

const root = join(import.meta.dir, "../../..");

async function script(...args: string[]) {
  const child = Bun.spawn(["scripts/image", ...args], { cwd: root, stdout: "pipe", stderr: "pipe" });
  return {
    code: await child.exited,
    stdout: await new Response(child.stdout).text(),
    stderr: await new Response(child.stderr).text(),
  };
}

const REPORT: Report = {
  architecture: "amd64",
  digest: "sha256:0",
  files: 3,
  bytes: 5_000_000,
  executableBytes: 4_000_000,
  packages: [{ name: "psmisc", version: "23.6-1", sha256: "0" }],
  programs: [{ name: "fuser", path: "usr/bin/fuser", bytes: 40_000, package: "psmisc" }],
  libraries: [{ path: "usr/lib/libc.so.6", bytes: 1_900_000, package: "libc6", neededBy: ["libx.so.1.2.3"] }],
};

test("the image has every program that the node executes", () => {
  const names = PROGRAMS.map(({ name }) => name);
  const left: string[] = NODE_TOOLS.map(({ name }) => name).filter((name) => !names.includes(name));
  expect(left).toEqual([]);
  expect(packagesOf(PROGRAMS)).toContain("kmod");
  expect(new Set(packagesOf(PROGRAMS)).size).toBe(packagesOf(PROGRAMS).length);
});

test("what is not a program says why it is there", () => {
  for (const { why } of [...DATA_FILES, ...LOADED_LIBRARIES]) expect(why.length).toBeGreaterThan(10);
  expect(CERTIFICATES.to).toEndWith("ca-certificates.crt");
});

test("packages that a package needs", () => {
  const control = `Package: x
Pre-Depends: libc6 (>= 2.34), libblkid1 (= 1:2.3)
Depends: libfoo1:any (>= 1), zlib1g | zlib2, libc6 (>= 2.36), libg++-2.0
Description: y
`;
  expect(dependencies(control)).toEqual(["libc6", "libblkid1", "libfoo1", "zlib1g", "libg++-2.0"]);
  expect(dependencies("Package: x\n")).toEqual([]);
});

test("paths of a merged /usr", () => {
  expect(["bin/kmod", "lib/x/y.so", "lib64/ld.so", "usr/bin/kmod", "library"].map(merged)).toEqual([
    ...["usr/bin/kmod", "usr/lib/x/y.so", "usr/lib64/ld.so", "usr/bin/kmod", "library"],
  ]);
});

test("the page: versions and sizes may differ, contents may not", () => {
  const page = imagePage([REPORT]);
  expect(page).toContain("| `fuser` | names processes that hold a device open | psmisc | 40 |");
  expect(page).toContain("| `libc.so.6` | libx.so.1.2.3 | libc6 | 1856 |");
  const newer: Report = {
    ...REPORT,
    bytes: 6_000_000,
    executableBytes: 5_000_000,
    packages: [{ name: "psmisc", version: "23.7-1+deb12u1", sha256: "1" }],
    programs: REPORT.programs.map((program) => ({ ...program, bytes: 50_000 })),
    libraries: REPORT.libraries.map((library) => ({ ...library, neededBy: ["libx.so.1.2.4"], bytes: 1 })),
  };
  expect(imagePage([newer])).not.toBe(page);
  expect(withoutFigures(imagePage([newer]))).toBe(withoutFigures(page));
  for (const other of [
    { ...REPORT, programs: [] },
    { ...REPORT, libraries: [] },
    { ...REPORT, packages: [{ name: "perl", version: "1", sha256: "0" }] },
  ]) {
    expect(withoutFigures(imagePage([other]))).not.toBe(withoutFigures(page));
  }
});

test("the licences of what is compiled into the executable, its dependencies' dependencies too", async () => {
  const text = await thirdPartyNotices(root);
  const { dependencies } = await Bun.file(join(root, "package.json")).json();
  for (const [name, version] of Object.entries(dependencies))
    expect(text).toContain(`\n${name} ${version}: `);
  expect(text).toMatch(/^tweetnacl \d/m);
  expect(text).toMatch(/^bun \d+\.\d+\.\d+: MIT/m);
  expect(text).not.toContain("typescript 7");
  expect(text).toBe(await thirdPartyNotices(root));
});

test("the Containerfile assembles with scripts/image and says of the image what its layout says", async () => {
  const text = await Bun.file(join(root, "Containerfile")).text();
  const lines = text
    .replaceAll("\\\n", "")
    .split("\n")
    .filter((line) => !line.startsWith("#"));
  expect(text).toContain("scripts/image --root-only --target");
  expect(lines.filter((line) => line.startsWith("FROM ")).at(-1)).toBe("FROM scratch");
  expect(lines).toContain(`USER ${USER.id}:${USER.id}`);
  expect(lines).toContain(`ENTRYPOINT ["/${EXECUTABLE}"]`);
  expect(lines).toContain("ENV PATH=/usr/sbin:/usr/bin");
  const bases = [...text.matchAll(/^ARG BASE=(\S+)$/gm)].map(([, base]) => base);
  expect(bases).toEqual([expect.stringMatching(new RegExp(`:\\d+\\.\\d+\\.\\d+-${DEBIAN.codename}-slim$`))]);
  // The list of packages is not said again.
  for (const name of packagesOf(PROGRAMS)) expect([name, text.includes(name)]).toEqual([name, false]);
});

test("scripts/image says what it does, and refuses what it does not know", async () => {
  const help = await script("--help");
  expect([help.code, help.stdout]).toEqual([
    0,
    expect.stringContaining("scripts/image --target x64|arm64|all"),
  ]);
  for (const args of [["--target", "vax"], ["--target"], ["--nonsense"]]) {
    const { code, stderr } = await script(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining("--target x64|arm64|all")]);
  }
  const early = await script("--docs", "--out", "no-such-directory");
  expect([early.code, early.stderr]).toEqual([1, expect.stringContaining("run scripts/image first")]);
});
