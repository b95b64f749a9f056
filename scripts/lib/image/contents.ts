import { NODE_TOOLS, type NodeTool } from "../../../src/host/tools.ts";

/** The machines of the image. `debian` is Debian's name of the architecture, `oci` the OCI image specification's. */
export interface Target {
  readonly name: "x64" | "arm64";
  readonly debian: "amd64" | "arm64";
  readonly oci: "amd64" | "arm64";
  /** Debian's directory of shared libraries. */
  readonly triplet: string;
  /** `e_machine` of its ELF files. */
  readonly machine: number;
}

export const TARGETS: readonly Target[] = [
  { name: "x64", debian: "amd64", oci: "amd64", triplet: "x86_64-linux-gnu", machine: 62 },
  { name: "arm64", debian: "arm64", oci: "arm64", triplet: "aarch64-linux-gnu", machine: 183 },
];

/** The release that the packages come from: the one that the lab runs. */
export const DEBIAN = { version: "12", codename: "bookworm" } as const;

/** The programs of the image: those that the node runs over NVMe/TCP. The only list is src/host/tools.ts. */
export const PROGRAMS: readonly NodeTool[] = (NODE_TOOLS as readonly NodeTool[]).filter(
  ({ dataPath }) => dataPath !== "loop",
);

/** Debian packages of programs, sorted. */
export function packagesOf(tools: readonly NodeTool[]): readonly string[] {
  return [...new Set(tools.map((tool) => tool.package))].sort();
}

/** A file that is not a program and that nothing is linked with. */
export interface DataFile {
  readonly package: string;
  /** Path in the package below `/`, merged into /usr as Debian does; a directory means all files in it. */
  readonly path: string;
  readonly why: string;
}

export const DATA_FILES: readonly DataFile[] = [
  { package: "base-files", path: "usr/lib/os-release", why: "tells scanners which distribution this is" },
  { package: "base-files", path: "usr/share/common-licenses", why: "licences that the packages refer to" },
  { package: "e2fsprogs", path: "etc/mke2fs.conf", why: "Debian's defaults of mkfs.ext4" },
  { package: "kmod", path: "usr/lib/modprobe.d", why: "Debian's defaults of modprobe" },
];

/** Libraries that no file names: glibc loads them by itself. */
export const LOADED_LIBRARIES: readonly (DataFile & { readonly soname: string })[] = [
  {
    package: "libgcc-s1",
    soname: "libgcc_s.so.1",
    path: "usr/lib",
    why: "glibc loads it when a thread is cancelled",
  },
];

/** Authorities that TLS connections trust: joined, sorted by name, as `update-ca-certificates` does. */
export const CERTIFICATES = {
  package: "ca-certificates",
  from: "usr/share/ca-certificates/mozilla",
  to: "etc/ssl/certs/ca-certificates.crt",
} as const;

/** Where the executable is. */
export const EXECUTABLE = "usr/bin/rds-csi";
/** The user of the image; the node's manifest says root. */
export const USER = { name: "nonroot", id: 65532 } as const;

/** Links of a merged /usr. */
export const MERGED: Readonly<Record<string, string>> = {
  bin: "usr/bin",
  sbin: "usr/sbin",
  lib: "usr/lib",
  lib64: "usr/lib64",
};

/** Empty directories with their modes: mount points, so that a root that is read-only has them. */
export const DIRECTORIES: Readonly<Record<string, number>> = {
  dev: 0o755,
  "etc/rds-csi": 0o755,
  proc: 0o555,
  run: 0o755,
  "run/rds-csi": 0o755,
  sys: 0o555,
  tmp: 0o1777,
  "usr/lib/modules": 0o755,
  "usr/lib64": 0o755,
  "var/lib/kubelet": 0o755,
  "var/lib/rds-csi": 0o755,
};

/** Files written here. No account can log in: there is no shell. */
export const WRITTEN: Readonly<Record<string, string>> = {
  "etc/passwd": `root:x:0:0:root:/:/nonexistent\n${USER.name}:x:${USER.id}:${USER.id}:${USER.name}:/:/nonexistent\n`,
  "etc/group": `root:x:0:\n${USER.name}:x:${USER.id}:\n`,
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
  // Without it mount takes SELinux for switched off and drops context= (libselinux, is_selinux_enabled). Nothing else reads it.
  "etc/selinux/config": "SELINUX=permissive\nSELINUXTYPE=targeted\n",
};

/** Links written here. */
export const LINKS: Readonly<Record<string, string>> = {
  "etc/os-release": "../usr/lib/os-release",
  "etc/mtab": "../proc/self/mounts",
};
