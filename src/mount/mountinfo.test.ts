import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { mountsAt, parseMountinfo, readMounts } from "./mountinfo.ts";

const mangle = (text: string) =>
  text.replace(/[ \t\n\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);

describe("mountinfo", () => {
  test("lines of a real node", () => {
    const text = [
      "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard",
      "42 27 259:1 / /var/lib/kubelet/g\\040m rw,nosuid shared:7 master:3 - ext4 /dev/nvme0n1 rw,errors=remount-ro",
      "43 27 0:6 /nvme0n2 /t ro - devtmpfs devtmpfs rw",
      "",
    ].join("\n");
    const [, fs, node] = parseMountinfo(text);
    expect(fs).toEqual({
      id: 42,
      parentId: 27,
      device: "259:1",
      root: "/",
      mountPoint: "/var/lib/kubelet/g m",
      options: ["rw", "nosuid"],
      shared: true,
      fsType: "ext4",
      source: "/dev/nvme0n1",
      superOptions: ["rw", "errors=remount-ro"],
    });
    expect(node).toMatchObject({ root: "/nvme0n2", options: ["ro"], shared: false, fsType: "devtmpfs" });
  });

  test("an empty source (mount -t tmpfs '') is kept", () => {
    expect(parseMountinfo("1 0 0:9 / /x rw - tmpfs  rw\n")[0]).toMatchObject({
      source: "",
      superOptions: ["rw"],
    });
  });

  test("property: what the kernel would print is read back", () => {
    const path = fc
      .string({ unit: "grapheme", minLength: 0, maxLength: 30 })
      .map((text) => `/${text.replaceAll("\0", "")}`);
    const words = fc.array(fc.stringMatching(/^[a-z=:0-9]{1,8}$/), { minLength: 1, maxLength: 4 });
    const tags = fc.array(fc.stringMatching(/^(shared|master|propagate_from):[0-9]{1,4}$/), { maxLength: 3 });
    fc.assert(
      fc.property(
        path,
        path,
        path,
        words,
        words,
        tags,
        fc.nat(4095),
        fc.nat(),
        (root, at, source, a, b, tag, major, minor) => {
          const line = [
            `7 3 ${major}:${minor} ${mangle(root)} ${mangle(at)} ${a.join(",")}`,
            ...tag,
            `- ext4 ${mangle(source)} ${b.join(",")}`,
          ].join(" ");
          expect(parseMountinfo(`${line}\n`)).toEqual([
            {
              id: 7,
              parentId: 3,
              device: `${major}:${minor}`,
              root,
              mountPoint: at,
              options: a,
              shared: tag.some((each) => each.startsWith("shared")),
              fsType: "ext4",
              source,
              superOptions: b,
            },
          ]);
        },
      ),
    );
  });

  test("a path may hold any blank that the kernel does not mangle", () => {
    for (const blank of ["\u00a0", "\u3000", "\u2028", "\ufeff", "\r", "\v", "\f", "\u0085", "\u001b"]) {
      const at = `/data${blank}of a pod${blank}`;
      const line = `7 3 8:1 ${mangle(at)} ${mangle(at)} rw shared:1 - ext4 ${mangle(at)} rw,a=${blank}`;
      expect(parseMountinfo(`${line}\n${line}\n`)).toMatchObject([
        { root: at, mountPoint: at, source: at, shared: true, superOptions: ["rw", `a=${blank}`] },
        { mountPoint: at },
      ]);
    }
  });

  test.each([
    "x",
    "1 2 3:4 / /",
    "1 2 3:4 / / rw shared:1",
    "1 2 34 / / rw - ext4 s rw",
    "a 2 3:4 / / rw - t s o",
  ])("an unknown form is an error, not an empty table: %s", (line) => {
    expect(() => parseMountinfo(`${line}\n`)).toThrow("mount table");
  });

  test("an unreadable table is an error", async () => {
    await expect(readMounts("/nonexistent/mountinfo")).rejects.toMatchObject({ id: "nodeStateUnknown" });
  });

  test("the topmost of stacked mounts is last", async () => {
    const mounts = await readMounts();
    expect(mountsAt(mounts, "/").length).toBeGreaterThan(0);
    const stack = parseMountinfo(
      "1 0 1:1 / /m rw - a a rw\n2 1 1:2 / /m rw - b b rw\n3 1 1:3 / /mm rw - c c rw\n",
    );
    expect(mountsAt(stack, "/m").map((mount) => mount.fsType)).toEqual(["a", "b"]);
  });
});
