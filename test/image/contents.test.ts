import { describe, expect, test } from "bun:test";
import { PROGRAMS, TARGETS } from "../../scripts/lib/image/contents.ts";
import { readElf } from "../../scripts/lib/image/elf.ts";
import { type Found, filesOf, follow, noImage, reports, rootOf } from "./image.ts";

/** Names of what could run a text: shells, interpreters, package managers. */
const INTERPRETERS =
  /^(sh|(ba|da|z|k|c|a)sh|busybox|toybox|env|perl.*|python.*|ruby.*|lua.*|node|bun|awk|mawk|gawk|sed|apt.*|dpkg.*|rpm)$/;

for (const target of TARGETS) {
  describe.skipIf(noImage !== "")(`root filesystem of ${target.name} ${noImage}`.trim(), () => {
    let files: readonly Found[] = [];
    let byPath: ReadonlyMap<string, Found> = new Map();
    const load = async () => {
      if (files.length > 0) return;
      files = await filesOf(rootOf(target));
      byPath = new Map(files.map((file) => [file.path, file]));
    };
    const elves = () =>
      files.flatMap(({ path, bytes }) => {
        const elf = bytes === undefined ? undefined : readElf(bytes);
        return elf === undefined ? [] : [{ path, elf }];
      });

    test("has every program of the list where the driver looks for it", async () => {
      await load();
      for (const { name } of PROGRAMS) {
        const at = ["usr/sbin", "usr/bin"].map((directory) => follow(byPath, `${directory}/${name}`));
        expect(at.filter((path) => path !== undefined)).toHaveLength(1);
      }
    });

    test("has nothing else that can be run: no shell, no interpreter, no script, no package manager", async () => {
      await load();
      const allowed = new Set(PROGRAMS.map(({ name }) => name).concat("rds-csi", "kmod", "mke2fs"));
      const inPath = files
        .filter(({ path }) => /^usr\/s?bin\//.test(path))
        .map(({ path }) => path.split("/").pop());
      expect(inPath.filter((name) => !allowed.has(name ?? ""))).toEqual([]);
      expect(inPath.length).toBe(allowed.size);
      const names = files.filter(({ bytes, link }) => bytes !== undefined || link !== undefined);
      expect(names.filter(({ path }) => INTERPRETERS.test(path.slice(path.lastIndexOf("/") + 1)))).toEqual(
        [],
      );
      const scripts = files.filter(
        ({ bytes }) => bytes !== undefined && bytes.toString("latin1", 0, 2) === "#!",
      );
      expect(scripts.map(({ path }) => path)).toEqual([]);
      const runnable = files.filter(({ bytes, mode }) => bytes !== undefined && (mode & 0o111) !== 0);
      expect(runnable.filter(({ bytes }) => bytes !== undefined && readElf(bytes) === undefined)).toEqual([]);
    });

    test("has no set-user-ID or set-group-ID file, and nothing that others may write but /tmp", async () => {
      await load();
      expect(files.filter(({ mode, bytes }) => bytes !== undefined && (mode & 0o6000) !== 0)).toEqual([]);
      const writable = files.filter(({ mode, link }) => link === undefined && (mode & 0o022) !== 0);
      expect(writable.map(({ path, mode }) => [path, mode])).toEqual([["tmp", 0o1777]]);
    });

    test("every ELF file is for this architecture and finds its loader and libraries inside", async () => {
      await load();
      expect(elves().length).toBeGreaterThan(PROGRAMS.length + 20);
      for (const { path, elf } of elves()) {
        expect([path, elf.machine]).toEqual([path, target.machine]);
        if (elf.interpreter !== undefined) expect(follow(byPath, elf.interpreter)).toBeDefined();
        for (const name of elf.needed) {
          const places = [`usr/lib/${target.triplet}/${name}`, `usr/lib/${name}`];
          expect([path, name, places.some((place) => follow(byPath, place) !== undefined)]).toEqual([
            path,
            name,
            true,
          ]);
        }
      }
    });

    test("every library is there because something names it", async () => {
      await load();
      const report = reports.find(({ architecture }) => architecture === target.oci);
      const listed = report?.libraries.map(({ path }) => path) ?? [];
      const there = elves().filter(({ path }) => /\.so(\.|$)/.test(path));
      expect(listed.toSorted()).toEqual(there.map(({ path }) => path).toSorted());
      expect(report?.libraries.filter(({ neededBy }) => neededBy.length === 0)).toEqual([]);
    });

    test("every link leads somewhere inside", async () => {
      await load();
      const dangling = files.filter(
        ({ path, link }) => link !== undefined && follow(byPath, path) === undefined,
      );
      expect(dangling.map(({ path, link }) => [path, link])).toEqual([["etc/mtab", "../proc/self/mounts"]]);
    });

    test("every package has its licence, and its entry for scanners", async () => {
      await load();
      const packages = reports.find(({ architecture }) => architecture === target.oci)?.packages ?? [];
      expect(packages.length).toBeGreaterThan(20);
      for (const { name, version } of packages) {
        expect(byPath.get(`usr/share/doc/${name}/copyright`)?.bytes?.length ?? 0).toBeGreaterThan(100);
        const status = byPath.get(`var/lib/dpkg/status.d/${name}`)?.bytes?.toString("utf8") ?? "";
        expect(status).toMatch(new RegExp(`^Package: ${RegExp.escape(name)}$`, "m"));
        expect(status).toMatch(new RegExp(`^Version: ${RegExp.escape(version)}$`, "m"));
        expect(status).toMatch(new RegExp(`^Architecture: (${target.debian}|all)$`, "m"));
      }
      expect(byPath.get("usr/lib/os-release")?.bytes?.toString("utf8")).toContain(
        "VERSION_CODENAME=bookworm",
      );
    });

    test("trusts the authorities that Debian trusts", async () => {
      await load();
      const text = byPath.get("etc/ssl/certs/ca-certificates.crt")?.bytes?.toString("utf8") ?? "";
      const certificates = text.split("-----BEGIN CERTIFICATE-----").length - 1;
      expect(certificates).toBeGreaterThan(100);
      expect(text.split("-----END CERTIFICATE-----\n").length - 1).toBe(certificates);
    });
  });
}
