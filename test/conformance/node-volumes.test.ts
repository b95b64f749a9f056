import { describe, expect, test } from "bun:test";
import { lstat, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { noDevices } from "../support/executable.ts";
import { loopsBelow, mountsBelow } from "../support/leftovers.ts";
import { block, codeOf, Mode, mount, outcome } from "../support/rpc.ts";
import { exists } from "../support/stand.ts";
import { SIZE, stand, UNKNOWN, useNodes, volume, work } from "./node.fixture.ts";

describe.skipIf(noDevices !== "")(`volumes on a node process ${noDevices}`, () => {
  useNodes();

  describe("a filesystem volume", () => {
    test("the life of it: staged twice, other capability refused, read-only honoured, everything gone at the end", async () => {
      const on = await volume(mount());
      expect(await on.publish()).toMatch(
        /^FAILED_PRECONDITION: volume \S+ is not staged at .*: .* is not connected\. /,
      );
      expect(await on.stage()).toBe("OK");
      expect(await on.stage()).toBe("OK");
      expect(await mountsBelow(join(on.staging, ".."))).toEqual([on.staging]);
      expect(await on.stage({ volumeCapability: mount(1, "xfs") })).toBe(
        `ALREADY_EXISTS: volume ${on.volumeId} is staged at ${on.staging} already: as ext4; xfs is asked for. Unstage it first.`,
      );
      expect(await on.stage({ volumeCapability: block() })).toBe(
        `ALREADY_EXISTS: volume ${on.volumeId} is staged at ${on.staging} already: as ext4; block access is asked for. Unstage it first.`,
      );
      expect(await on.stage({ volumeCapability: mount(Mode.SINGLE_NODE_READER_ONLY) })).toBe(
        `ALREADY_EXISTS: volume ${on.volumeId} is staged at ${on.staging} already: as ext4; it is writable, read-only access is asked for. Unstage it first.`,
      );
      expect(await on.stage({ volumeCapability: mount(1, "", ["bind"]) })).toStartWith(
        'INVALID_ARGUMENT: mount option "bind" is not allowed for ext4: it asks for something else',
      );

      expect(await on.publish()).toBe("OK");
      expect(await on.publish()).toBe("OK");
      await writeFile(join(on.target(), "file"), "content");
      expect(await on.publish({ readonly: true })).toBe(
        `ALREADY_EXISTS: volume ${on.volumeId} is published at ${on.target()} already: writable; read-only is asked for. Unpublish it first.`,
      );
      expect(await on.publish({ targetPath: on.target("second") })).toBe(
        `FAILED_PRECONDITION: volume ${on.volumeId} is published on this node at ${on.target()}: its access mode allows one target on a node. Wait until the other pod has ended.`,
      );
      expect(await exists(on.target("second"))).toBe(false);
      const { usage, volumeCondition } = await on.stats(on.target());
      expect(volumeCondition).toMatchObject({ abnormal: false, message: expect.stringMatching(/./) });
      expect(usage).toHaveLength(2);
      for (const { total, used, available } of usage) {
        expect(total).toBeGreaterThan(0n);
        expect(used + available).toBeLessThanOrEqual(total);
      }
      expect(usage[0]?.total).toBeLessThanOrEqual(SIZE);
      expect((await on.stats(on.staging)).usage).toHaveLength(2);
      expect(await codeOf(on.stats(join(on.target(), "file")))).toBe("NOT_FOUND");

      // In use: nothing is torn away from under the workload.
      expect(await on.unstage()).toMatch(
        new RegExp(`^FAILED_PRECONDITION: volume ${on.volumeId} \\(.*\\) is still in use: .*${on.target()}`),
      );
      expect(await readFile(join(on.target(), "file"), "utf8")).toBe("content");
      expect(await on.unpublish()).toBe("OK");
      expect(await on.unpublish()).toBe("OK");
      expect(await exists(on.target())).toBe(false);

      // Read-only: a workload's write fails, also that of root.
      expect(await on.publish({ readonly: true })).toBe("OK");
      expect(await readFile(join(on.target(), "file"), "utf8")).toBe("content");
      expect(await writeFile(join(on.target(), "other"), "x").catch((error) => error.code)).toBe("EROFS");
      expect(await on.publish()).toBe(
        `ALREADY_EXISTS: volume ${on.volumeId} is published at ${on.target()} already: read-only; write access is asked for. Unpublish it first.`,
      );
      expect(await on.unpublish()).toBe("OK");
      expect(await on.unstage()).toBe("OK");
      expect(await on.unstage()).toBe("OK");
      expect(await codeOf(on.stats(on.staging))).toBe("NOT_FOUND");
      await on.remove();
    });

    test("several targets only for SINGLE_NODE_MULTI_WRITER", async () => {
      for (const mode of [Mode.SINGLE_NODE_SINGLE_WRITER, Mode.SINGLE_NODE_MULTI_WRITER]) {
        const on = await volume(mount(mode));
        expect(await on.stage()).toBe("OK");
        expect(await on.publish({ targetPath: on.target("one") })).toBe("OK");
        const second = await on.publish({ targetPath: on.target("two") });
        if (mode === Mode.SINGLE_NODE_MULTI_WRITER) {
          expect(second).toBe("OK");
          await writeFile(join(on.target("one"), "f"), "shared");
          expect(await readFile(join(on.target("two"), "f"), "utf8")).toBe("shared");
        } else expect(second).toStartWith("FAILED_PRECONDITION: ");
        for (const name of ["one", "two"]) expect(await on.unpublish(name)).toBe("OK");
        expect(await on.unstage()).toBe("OK");
        await on.remove();
      }
    });

    test("the wrong node, a foreign NQN, a foreign mount, files in the way", async () => {
      const on = await volume(mount());
      const { publishContext } = on.request;
      expect(await outcome(stand.node("node-b").nodeStageVolume(on.request))).toMatch(
        new RegExp(
          `^FAILED_PRECONDITION: volume ${on.volumeId} is attached for host NQN nqn\\.2014-08\\.org\\.nvmexpress:uuid:\\S+, this node's is nqn\\.`,
        ),
      );
      const foreign = `nqn.2000-02.com.mikrotik:${UNKNOWN}.1`;
      expect(await on.stage({ publishContext: { ...publishContext, nqn: foreign } })).toStartWith(
        `FAILED_PRECONDITION: NQN ${foreign} is not that of volume ${on.volumeId} under the prefix nqn.2000-02.com.mikrotik.`,
      );
      const gone = `nqn.2000-02.com.mikrotik:${on.volumeId}.7`;
      expect(await on.stage({ publishContext: { ...publishContext, nqn: gone } })).toMatch(
        /^UNAVAILABLE: 127\.0\.0\.1:4420 did not accept a connection to \S+: connection refused/,
      );
      await writeFile(on.staging, "precious");
      expect(await on.stage()).toStartWith(`FAILED_PRECONDITION: ${on.staging} is occupied by a file.`);
      expect(await loopsBelow(work)).toEqual([]);
      await rm(on.staging);
      expect(await on.stage()).toBe("OK");
      await writeFile(on.target(), "precious");
      expect(await on.publish()).toStartWith(`FAILED_PRECONDITION: ${on.target()} is occupied by a file.`);
      expect(await on.unpublish()).toStartWith(
        `FAILED_PRECONDITION: ${on.target()} is occupied by a file with content.`,
      );
      expect(await readFile(on.target(), "utf8")).toBe("precious");
      await rm(on.target());
      expect(await on.publish({ targetPath: on.target("no/parent") })).toStartWith(
        "FAILED_PRECONDITION: the parent directory of ",
      );
      expect(await on.unstage()).toBe("OK");
      await on.remove();
    });
  });

  describe("a block volume", () => {
    const write = async (path: string) => {
      const device = await open(path, "r+");
      try {
        await device.write(Buffer.alloc(512, "x"), 0, 512, 4096);
        await device.sync();
      } finally {
        await device.close();
      }
    };

    test("the life of it: a device of the right size, total only, read-only honoured", async () => {
      const on = await volume(block());
      expect(await on.stage()).toBe("OK");
      expect(await on.stage()).toBe("OK");
      expect(await mountsBelow(join(on.staging, ".."))).toEqual([]);
      expect(await on.publish({ volumeCapability: mount() })).toStartWith("FAILED_PRECONDITION: ");
      expect(await on.publish()).toBe("OK");
      expect(await on.publish()).toBe("OK");
      expect((await lstat(on.target())).isBlockDevice()).toBe(true);
      await write(on.target());
      const { usage } = await on.stats(on.target());
      expect(usage.map(({ total, used, available }) => [total, used, available])).toEqual([[SIZE, 0n, 0n]]);
      expect(await on.publish({ readonly: true })).toBe(
        `ALREADY_EXISTS: volume ${on.volumeId} is published at ${on.target()} already: writable; read-only is asked for. Unpublish it first.`,
      );
      expect(await on.publish({ targetPath: on.target("second") })).toStartWith(
        `FAILED_PRECONDITION: volume ${on.volumeId} is published on this node at ${on.target()}: `,
      );
      expect(await on.unstage()).toStartWith(`FAILED_PRECONDITION: volume ${on.volumeId} (`);
      expect(await on.unpublish()).toBe("OK");
      expect(await exists(on.target())).toBe(false);

      expect(await on.publish({ readonly: true })).toBe("OK");
      expect(await write(on.target()).catch((error) => error.code)).toMatch(/^(EPERM|EROFS|EACCES)$/);
      expect(await on.unpublish()).toBe("OK");
      // The next writer is not kept out by the last reader.
      expect(await on.publish()).toBe("OK");
      await write(on.target());
      expect(await on.unpublish()).toBe("OK");
      expect(await on.unstage()).toBe("OK");
      expect(await loopsBelow(work)).toEqual([]);
      await on.remove();
    });

    test("a workload that keeps the device open keeps it connected", async () => {
      const on = await volume(block());
      expect(await on.stage()).toBe("OK");
      expect(await on.publish()).toBe("OK");
      // As a workload in a mount namespace of its own has it: not through the target.
      const [device = ""] = await loopsBelow(work);
      const workload = await open(device, "r");
      try {
        expect(await on.unpublish()).toBe("OK");
        expect(await on.unstage()).toMatch(
          new RegExp(`^FAILED_PRECONDITION: volume ${on.volumeId} .* is still in use: .*${process.pid}`),
        );
        expect(await loopsBelow(work)).toHaveLength(1);
      } finally {
        await workload.close();
      }
      expect(await on.unstage()).toBe("OK");
      expect(await loopsBelow(work)).toEqual([]);
      await on.remove();
    });

    test("the old attachment's context after a new one: nothing is exported under it any more", async () => {
      const on = await volume(block());
      expect(await on.stage()).toBe("OK");
      expect(await on.unstage()).toBe("OK");
      await stand.controller.controllerUnpublishVolume({ volumeId: on.volumeId });
      expect(await on.stage()).toStartWith("UNAVAILABLE: ");
      const again = await stand.controller.controllerPublishVolume({
        volumeId: on.volumeId,
        nodeId: "node-a",
        volumeCapability: block(),
      });
      expect(await on.stage()).toStartWith("UNAVAILABLE: ");
      expect(await on.stage({ publishContext: again.publishContext })).toBe("OK");
      expect(await on.stage()).toStartWith("FAILED_PRECONDITION: ");
      expect(await on.unstage()).toBe("OK");
      await on.remove();
    });
  });

  test("20 volumes staged and unstaged at the same time", async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => volume(block())));
    expect(new Set(await Promise.all(all.map((on) => on.stage())))).toEqual(new Set(["OK"]));
    expect(await loopsBelow(work)).toHaveLength(20);
    expect(new Set(await Promise.all(all.map((on) => on.unstage())))).toEqual(new Set(["OK"]));
    expect(await loopsBelow(work)).toEqual([]);
    for (const on of all) await on.remove();
  }, 240_000);
});
