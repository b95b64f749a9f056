import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeSystem } from "../../host/system.ts";
import type { NodeContext } from "../context.ts";
import { requirePropagation } from "./paths.ts";

const KUBELET = "/var/lib/kubelet";
const PATH = `${KUBELET}/plugins/kubernetes.io/csi/x/globalmount`;
const line = (id: number, mountPoint: string, fields: string) =>
  `${id} 1 259:1 / ${mountPoint} rw,relatime${fields} - ext4 /dev/vda1 rw`;

describe("mounts that would stay in the container", () => {
  let procRoot = "";
  beforeAll(async () => {
    procRoot = await mkdtemp(join(tmpdir(), "rds-propagation-"));
    for (const process of ["self", "1"]) await mkdir(join(procRoot, process, "ns"), { recursive: true });
  });
  afterAll(() => rm(procRoot, { recursive: true }));

  /** What is said of PATH, in the machine's namespace or one of its own, with these mounts. */
  async function said(own: string, machine: string | undefined, mounts: readonly string[]): Promise<string> {
    for (const [process, name] of Object.entries({ self: own, 1: machine })) {
      const link = join(procRoot, process, "ns/mnt");
      await unlink(link).catch(() => {});
      if (name !== undefined) await symlink(name, link);
    }
    await writeFile(join(procRoot, "self/mountinfo"), `${mounts.join("\n")}\n`);
    const node = { system: createNodeSystem({ procRoot }) } as NodeContext;
    return await requirePropagation(node, PATH).then(
      () => "fine",
      (error: { id?: string }) => error.id ?? String(error),
    );
  }

  const root = line(20, "/", "");
  for (const [name, mounts, answer] of [
    ["Bidirectional", [root, line(21, KUBELET, " shared:5 master:1")], "fine"],
    ["HostToContainer", [root, line(21, KUBELET, " master:1")], "mountNotPropagated"],
    ["None", [root, line(21, KUBELET, "")], "mountNotPropagated"],
    [
      "kubelet's directory is not mounted at all",
      [line(20, "/", " shared:5"), line(21, "/var/lib/kub", "")],
      "fine",
    ],
    ["... and the root is the container's", [root], "mountNotPropagated"],
    [
      "two at one place: the one on top counts",
      [line(21, KUBELET, " shared:5"), line(22, KUBELET, "")],
      "mountNotPropagated",
    ],
    [
      "what is mounted at the path itself does not",
      [line(21, KUBELET, " shared:5"), line(22, PATH, "")],
      "fine",
    ],
  ] as const) {
    test(`in a container, ${name}: ${answer}`, async () => {
      expect(await said("mnt:[2]", "mnt:[1]", mounts)).toBe(answer);
    });
  }

  test("in the machine's own namespace, or where that cannot be known, nothing is refused", async () => {
    expect(await said("mnt:[1]", "mnt:[1]", [root])).toBe("fine");
    expect(await said("mnt:[2]", undefined, [root])).toBe("fine");
  });
});
