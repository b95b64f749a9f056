import { describe, expect, test } from "bun:test";
import { PROGRAMS } from "../../scripts/lib/image/contents.ts";
import { inRoot, noChroot, noUsers, ownTarget, reports, rootOf } from "./image.ts";

/** How a program is asked for its version, where `-V` is not the way. */
const ASK: Readonly<Record<string, readonly string[]>> = {
  nvme: ["version"],
  stat: ["--version"],
  // Says it before its usage.
  resize2fs: [],
};

const root = rootOf(ownTarget);

describe.skipIf(noChroot !== "")(`programs run in the root filesystem ${noChroot}`.trim(), () => {
  for (const { name, package: owner } of PROGRAMS) {
    test(`${name} says the version of its package`, async () => {
      const { output } = await inRoot(root, [name, ...(ASK[name] ?? ["-V"])]);
      const said = /\s(\d+(?:\.\d+)*)\b/.exec(output)?.[1] ?? `no version: ${output}`;
      const { version } = reports
        .find(({ architecture }) => architecture === ownTarget.oci)
        ?.packages.find((each) => each.name === owner) ?? { version: "" };
      // Debian's `2.4+really2.3-3` is version 2.3.
      expect(version.split(/[-+:]|really/)).toContain(said);
    });
  }

  test("a node whose kernel has no nvme-tcp serves, and says why it is not ready", async () => {
    const node = ["rds-csi", "node", "--node-id", "n1", "--endpoint", "unix:///tmp/node.sock"];
    const { output } = await inRoot(root, node, 0, /msg=serving/);
    expect(output).toContain('msg="kernel module not loaded"');
    expect(output).toMatch(
      /msg="not ready" .*nvme-tcp is not loaded, and modprobe cannot load it: .*\/lib\/modules/,
    );
    expect(output).toMatch(/msg=serving/);
    expect(output).not.toContain("is missing: it ");
  });

  test("a program that is not there cannot be run", async () => {
    expect((await inRoot(root, ["sh", "-c", "true"])).code).toBe(127);
  });

  test("the root is read-only, for root too", async () => {
    const { code, output } = await inRoot(root, ["mkfs.ext4", "/var/lib/x", "1M"]);
    expect([code, output]).toEqual([1, expect.stringContaining("Read-only file system")]);
  });
});

describe.skipIf(noUsers !== "")(`the executable runs as the image's user ${noUsers}`.trim(), () => {
  test("rds-csi version", async () => {
    const { code, output } = await inRoot(root, ["rds-csi", "version"], 65_532);
    expect([code, output]).toEqual([0, expect.stringMatching(/^rds-csi \d+\.\d+\.\d+(-dev)? \(commit /)]);
  });

  for (const command of ["controller", "node"]) {
    test(`rds-csi ${command} --help`, async () => {
      const { code, output } = await inRoot(root, ["rds-csi", command, "--help"], 65_532);
      expect([code, output]).toEqual([0, expect.stringContaining("--endpoint")]);
    });
  }

  test("it reports what is wrong with its configuration, in words", async () => {
    const { code, output } = await inRoot(root, ["rds-csi", "controller"], 65_532);
    expect([code, output]).toEqual([2, expect.stringContaining("--rds-address")]);
  });
});
