import { describe, expect, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { silentLogger } from "../../../observability/log.ts";
import type { ExportRecord } from "../backend.ts";
import type { FakeNvmet } from "./configfs.fixture.ts";
import {
  backend,
  changeDirectory,
  changeKernel,
  dir,
  kernel,
  MIB,
  marks,
  nothing,
  options,
  record,
  useKernel,
} from "./nvmet.fixture.ts";
import { nvmetBackend } from "./nvmet.ts";

useKernel();

describe("an export", () => {
  test("is a subsystem with one namespace on a port, and nothing is left of it", async () => {
    const rds = await backend();
    await rds.publishExport(record());
    expect(kernel.tree()).toEqual([
      "ports/4420",
      "ports/4420/subsystems/nqn.t:a.1",
      "subsystems/nqn.t:a.1",
      "subsystems/nqn.t:a.1/namespaces/1",
    ]);
    expect(kernel.connect("nqn.t:a.1", "nqn.h:1")).toBe(true);
    expect(kernel.identify("nqn.t:a.1").size).toBe(MIB);
    await rds.withdrawExport("nqn.t:a.1");
    await rds.withdrawExport("nqn.t:a.1");
    expect(kernel.tree()).toEqual([]);
    expect(kernel.controllers).toEqual([]);
    expect(marks()).toMatchObject(nothing);
  });

  test("reads and writes its image directly, or through the page cache where the file system cannot do that", async () => {
    const buffered = () =>
      kernel.configfs.read(`${kernel.root}/subsystems/nqn.t:a.1/namespaces/1/buffered_io`);
    const rds = await backend();
    await rds.publishExport(record());
    expect(await buffered()).toBe("0");
    await rds.withdrawExport("nqn.t:a.1");
    kernel.failNext(/write .*namespaces\/1\/enable/, "EINVAL");
    await rds.publishExport(record());
    expect(await buffered()).toBe("1");
    expect(kernel.identify("nqn.t:a.1").size).toBe(MIB);
  });

  test("exports share a port, which stays until the last has gone", async () => {
    const rds = await backend();
    await rds.create("pool/b.img", MIB);
    await rds.publishExport(record());
    await rds.publishExport(record({ nqn: "nqn.t:b.1", path: "pool/b.img", slot: "b", identity: "slot b" }));
    expect(kernel.tree().filter((name) => /^ports\/\d+$/.test(name))).toEqual(["ports/4420"]);
    await rds.withdrawExport("nqn.t:a.1");
    expect(kernel.connect("nqn.t:b.1", "h")).toBe(true);
    expect(kernel.connect("nqn.t:a.1", "h")).toBe(false);
    await rds.withdrawExport("nqn.t:b.1");
    expect(kernel.tree()).toEqual([]);
  });

  test("a port identifier of somebody else is left alone", async () => {
    await kernel.configfs.make(`${kernel.root}/ports/4420`);
    const rds = await backend();
    await rds.publishExport(record());
    expect(kernel.tree()).toContain("ports/4421/subsystems/nqn.t:a.1");
    expect(kernel.connect("nqn.t:a.1", "h", 4420)).toBe(true);
    await rds.withdrawAllExports();
    expect(kernel.tree()).toEqual(["ports/4420"]);
  });

  test("has the same identifiers under each NQN and after a restart, and others than another device", async () => {
    const first = await backend();
    await first.publishExport(record());
    const before = kernel.identify("nqn.t:a.1");
    expect(before.serial).toMatch(/^[0-9a-f]{16}$/);
    await first.withdrawAllExports();
    const second = await backend();
    await second.publishExport(record({ nqn: "nqn.t:a.2" }));
    expect(kernel.identify("nqn.t:a.2")).toEqual(before);
    await second.publishExport(record({ nqn: "nqn.t:x", identity: "slot x" }));
    expect(kernel.identify("nqn.t:x").uuid).not.toBe(before.uuid);
    changeDirectory();
    await second.withdrawAllExports();
    await (await backend()).publishExport(record());
    expect(kernel.identify("nqn.t:a.1").uuid).not.toBe(before.uuid);
    expect(kernel.identify("nqn.t:a.1").serial).not.toBe(before.serial);
  });

  test.each(["../x", "a/b", "", ".hidden", "x y", "n".repeat(224), "a\nb", "é"])(
    "the NQN %j is refused and nothing is made",
    async (nqn) => {
      const rds = await backend();
      await expect(rds.publishExport(record({ nqn }))).rejects.toThrow("cannot be exported");
      await rds.withdrawExport(nqn);
      expect(kernel.tree()).toEqual([]);
      expect(marks()).toMatchObject(nothing);
    },
  );

  test("__proto__ is an NQN like any other", async () => {
    const rds = await backend();
    await rds.publishExport(record({ nqn: "__proto__" }));
    await (await backend()).withdrawAllExports();
    expect(kernel.tree()).toEqual([]);
  });

  test("a subsystem of somebody else stays as it is", async () => {
    const rds = await backend();
    await kernel.configfs.make(`${kernel.root}/subsystems/nqn.t:a.1`);
    await expect(rds.publishExport(record())).rejects.toThrow("did not make");
    await rds.withdrawExport("nqn.t:a.1");
    await rds.withdrawAllExports();
    expect(kernel.tree()).toEqual(["subsystems/nqn.t:a.1"]);
  });

  test.each([
    "make subsystems/nqn.t:a.1$",
    "write subsystems/.*attr_serial",
    "make hosts/",
    "^link subsystems/.*allowed_hosts",
    "make .*namespaces/1",
    "write .*device_path",
    "write .*enable",
    "make ports/",
    "write ports/.*addr_traddr",
    "^link ports/",
  ])("a failure at %p leaves nothing, and the next attempt works", async (step) => {
    const rds = await backend();
    kernel.failNext(new RegExp(step), "ENOMEM");
    const wanted = record({ allowHosts: ["nqn.h:1"] });
    await expect(rds.publishExport(wanted)).rejects.toThrow("ENOMEM");
    expect(kernel.tree()).toEqual([]);
    expect(marks()).toMatchObject(nothing);
    await rds.publishExport(wanted);
    expect(kernel.connect("nqn.t:a.1", "nqn.h:1")).toBe(true);
  });

  test("another port is another place", async () => {
    const rds = await backend();
    await rds.publishExport(record());
    kernel.connect("nqn.t:a.1", "h");
    await rds.publishExport(record({ port: 4421 }));
    expect(kernel.controllers).toEqual([]);
    expect(kernel.connect("nqn.t:a.1", "h", 4420)).toBe(false);
    expect(kernel.connect("nqn.t:a.1", "h", 4421)).toBe(true);
  });

  test("a disk that is not the whole file cannot be exported", async () => {
    const rds = await backend();
    await expect(rds.publishExport(record({ sizeBytes: MIB - 512n }))).rejects.toThrow("file-offset");
    expect(kernel.tree()).toEqual([]);
  });
});

describe("what an earlier process left", () => {
  test("is removed, and foreign things are not", async () => {
    const foreign = `${kernel.root}/subsystems/nqn.foreign`;
    await kernel.configfs.make(foreign);
    const rds = await backend();
    await rds.publishExport(record({ allowHosts: ["nqn.h:1"] }));
    await backend();
    expect(kernel.tree()).toEqual(["subsystems/nqn.foreign"]);
    expect(marks()).toMatchObject(nothing);
  });

  test("a subsystem of the same name with another serial number is somebody else's", async () => {
    await (await backend()).publishExport(record());
    await kernel.configfs.write(`${kernel.root}/subsystems/nqn.t:a.1/attr_serial`, "another");
    const before = kernel.tree();
    await backend();
    expect(kernel.tree()).toEqual(before);
  });

  test("a process killed at any step leaves nothing to the next one", async () => {
    for (let count = 1; ; count += 1) {
      changeKernel();
      const rds = await backend();
      let left = count;
      let last = "";
      const dead = (step: string) => {
        last = step;
        return new Promise<never>(() => {});
      };
      const killed: Record<string, unknown> = {};
      for (const [name, call] of Object.entries(kernel.configfs)) {
        killed[name] = (...args: string[]) => {
          left -= 1;
          return left < 0 ? dead(`${name} ${args[0]}`) : (call as (...all: string[]) => unknown)(...args);
        };
      }
      const whole = kernel;
      const mortal = { ...whole, configfs: killed as unknown as FakeNvmet["configfs"] };
      changeKernel(mortal);
      const starting = backend();
      const working = starting.then(async (one) => {
        await one.publishExport(record({ allowHosts: ["nqn.h:1", "nqn.h:2"] }));
        await one.withdrawExport("nqn.t:a.1");
      });
      const finished = await Promise.race([
        working.then(() => true),
        (async () => {
          while (last === "") await Bun.sleep(1);
          return false;
        })(),
      ]);
      changeKernel(whole);
      expect(rds.kind).toBe("nvmet");
      await backend();
      expect([last, kernel.tree()]).toEqual([last, []]);
      expect(marks()).toMatchObject(nothing);
      if (finished) break;
    }
  });

  test("marks that cannot be read stop the start", async () => {
    await backend();
    writeFileSync(path.join(dir, "nvmet.json"), "{ broken");
    await expect(backend()).rejects.toThrow("cannot be read");
  });
});

describe("the start says what is missing", () => {
  test.each([
    ["list ports", "ENOENT", "modprobe -a nvmet nvmet-tcp"],
    ["make subsystems", "EACCES", "run the simulator as root"],
    ["make subsystems", "EPERM", "run the simulator as root"],
    ["^link ports", "EINVAL", "modprobe nvmet-tcp"],
    ["^link ports", "EADDRNOTAVAIL", "no address of this machine"],
    ["^link ports", "EAFNOSUPPORT", "address family"],
    ["make subsystems", "ENOMEM", "dmesg"],
  ])("%s: %s", async (step, code, message) => {
    kernel.failNext(new RegExp(step), code);
    await expect(backend()).rejects.toThrow(message);
    expect(kernel.tree()).toEqual([]);
  });

  test("a machine without the target, and an address that is none", async () => {
    await expect(nvmetBackend({ dir, root: path.join(dir, "none") }, silentLogger)).rejects.toThrow(
      "modprobe",
    );
    await expect(nvmetBackend({ ...options(), address: "localhost" }, silentLogger)).rejects.toThrow(
      "IP address",
    );
    await expect(nvmetBackend({ ...options(), address: "192.0.2.1" }, silentLogger)).rejects.toThrow(
      "192.0.2.1",
    );
  });
});

test("any sequence of changes ends as the records say, and connected hosts were always allowed", async () => {
  const nqns = ["nqn.p:0", "nqn.p:1", "nqn.p:2"];
  const hosts = ["nqn.h:0", "nqn.h:1"];
  const change = fc.record({
    index: fc.nat(2),
    kind: fc.constantFrom("publish", "withdraw", "kill"),
    port: fc.constantFrom(4420, 4421),
    allowHosts: fc.subarray(hosts),
    resize: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
      changeKernel();
      let rds = await backend();
      const sizes = new Map<string, bigint>();
      for (const nqn of nqns) {
        const file = `pool/${nqn}.img`;
        await rds.remove(file);
        await rds.create(file, MIB);
        sizes.set(nqn, MIB);
      }
      const wanted = new Map<string, ExportRecord>();
      for (const { index, kind, port, allowHosts, resize } of changes) {
        const nqn = nqns[index] ?? "";
        const file = `pool/${nqn}.img`;
        if (resize) {
          sizes.set(nqn, (sizes.get(nqn) ?? 0n) + MIB);
          await rds.resize(file, sizes.get(nqn) ?? 0n);
        }
        if (kind === "kill") {
          rds = await backend();
          wanted.clear();
        } else if (kind === "withdraw") {
          await rds.withdrawExport(nqn);
          wanted.delete(nqn);
        } else {
          const sizeBytes = wanted.get(nqn)?.sizeBytes ?? sizes.get(nqn) ?? 0n;
          const next = record({ nqn, path: file, port, allowHosts, sizeBytes, slot: nqn, identity: nqn });
          await rds.publishExport(next);
          wanted.set(nqn, next);
        }
        const names = kernel.tree().filter((name) => /^subsystems\/[^/]+$/.test(name));
        expect(names).toEqual([...wanted.keys()].map((name) => `subsystems/${name}`).sort());
        for (const one of wanted.values()) {
          expect(kernel.identify(one.nqn).size).toBe(one.sizeBytes);
          for (const host of [...hosts, "nqn.h:other"]) {
            const allowed = one.allowHosts.length === 0 || one.allowHosts.includes(host);
            expect(kernel.connect(one.nqn, host, one.port)).toBe(allowed);
          }
        }
      }
      await rds.withdrawAllExports();
      expect(kernel.tree()).toEqual([]);
      for (const nqn of nqns) {
        expect(statSync(path.join(dir, `files/pool/${nqn}.img`), { bigint: true }).size).toBe(
          sizes.get(nqn) ?? 0n,
        );
      }
    }),
    { numRuns: 60 },
  );
});
