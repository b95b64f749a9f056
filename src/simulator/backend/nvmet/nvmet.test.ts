import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { connect, startTestSimulator, type TestClient } from "../../../../test/support/simulator-client.ts";
import { addLine } from "../../../../test/support/simulator-console.ts";
import type { Logger } from "../../../observability/log.ts";
import { silentLogger } from "../../../observability/log.ts";
import type { Simulator, SimulatorOptions } from "../../simulator.ts";
import type { Backend, ExportRecord } from "../backend.ts";
import { type FakeNvmet, fakeNvmet } from "./configfs.fixture.ts";
import { nvmetBackend } from "./nvmet.ts";

const MIB = 1n << 20n;
let dir: string;
let kernel: FakeNvmet;
const cleanups: (() => unknown)[] = [];

function temporary(): string {
  const made = mkdtempSync(path.join(tmpdir(), "nvmet-"));
  cleanups.push(() => rmSync(made, { recursive: true }));
  return made;
}

beforeEach(() => {
  dir = temporary();
  kernel = fakeNvmet();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const options = () => ({ dir, root: kernel.root, configfs: kernel.configfs });
const marks = () => JSON.parse(readFileSync(path.join(dir, "nvmet.json"), "utf8")) as Record<string, unknown>;
const nothing = { subsystems: {}, hosts: [], ports: {}, sizes: {} };

function record(more: Partial<ExportRecord> = {}): ExportRecord {
  const base = { nqn: "nqn.t:a.1", port: 4420, path: "pool/a.img", sizeBytes: MIB, slot: "a" };
  return { ...base, allowHosts: [], identity: "slot a", ...more };
}

/** A backend with the image pool/a.img of 1 MiB. */
async function backend(logger: Logger = silentLogger): Promise<Backend> {
  const made = await nvmetBackend(options(), logger);
  await made.openPool("pool");
  if ((await made.list())?.every((entry) => entry.path !== "pool/a.img") === true) {
    await made.create("pool/a.img", MIB);
  }
  return made;
}

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
    dir = temporary();
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

describe("allowed hosts", () => {
  const A = "nqn.h:a";
  const B = "nqn.h:b";

  test("a list lets in who is on it, and changes without a drop", async () => {
    const rds = await backend();
    await rds.publishExport(record({ allowHosts: [A] }));
    expect([A, B].map((host) => kernel.connect("nqn.t:a.1", host))).toEqual([true, false]);
    await rds.publishExport(record({ allowHosts: [A, B] }));
    expect(kernel.connect("nqn.t:a.1", B)).toBe(true);
    await rds.publishExport(record({ allowHosts: [B] }));
    expect(kernel.controllers.map((one) => one.host)).toEqual([A, B]);
    expect(kernel.connect("nqn.t:a.1", A)).toBe(false);
    await rds.dropHosts("nqn.t:a.1");
    expect(kernel.controllers).toEqual([]);
    expect([A, B].map((host) => kernel.connect("nqn.t:a.1", host))).toEqual([false, true]);
    await rds.withdrawAllExports();
    expect(kernel.tree()).toEqual([]);
  });

  test("any becomes a list and the other way round", async () => {
    const rds = await backend();
    for (const [allowHosts, wanted] of [
      [[], true],
      [[A], false],
      [[], true],
      [[A], false],
    ] as const) {
      await rds.publishExport(record({ allowHosts }));
      expect(kernel.connect("nqn.t:a.1", B)).toBe(wanted);
      expect(kernel.connect("nqn.t:a.1", A)).toBe(true);
    }
  });

  test("a host NQN that cannot be listed is not let in, and the list does not become 'any'", async () => {
    const warnings: string[] = [];
    const rds = await backend({ ...silentLogger, warn: (text) => void warnings.push(text) });
    await rds.publishExport(record({ allowHosts: ["../../x"] }));
    expect(kernel.connect("nqn.t:a.1", A)).toBe(false);
    expect(warnings).toEqual([expect.stringContaining("cannot be let in")]);
  });

  test("directories of hosts that were there before stay, and those that others use", async () => {
    await kernel.configfs.make(`${kernel.root}/hosts/${A}`);
    const rds = await backend();
    await rds.publishExport(record({ allowHosts: [A, B] }));
    const foreign = `${kernel.root}/subsystems/nqn.foreign`;
    await kernel.configfs.make(foreign);
    await kernel.configfs.link(`${kernel.root}/hosts/${B}`, `${foreign}/allowed_hosts/${B}`);
    await rds.withdrawAllExports();
    const left = [
      `hosts/${A}`,
      `hosts/${B}`,
      "subsystems/nqn.foreign",
      `subsystems/nqn.foreign/allowed_hosts/${B}`,
    ];
    expect(kernel.tree()).toEqual(left);
    await kernel.configfs.unlink(`${foreign}/allowed_hosts/${B}`);
    await rds.withdrawAllExports();
    expect(kernel.tree()).toEqual([`hosts/${A}`, "subsystems/nqn.foreign"]);
  });

  test("a host's directory that vanishes between two steps is made again", async () => {
    const rds = await backend();
    kernel.failNext(/link .*allowed_hosts/, "ENOENT");
    await rds.publishExport(record({ allowHosts: [A] }));
    expect(kernel.connect("nqn.t:a.1", A)).toBe(true);
  });

  test("a port that is lost while hosts are dropped ends the export, which then can be made again", async () => {
    const rds = await backend();
    await rds.publishExport(record());
    kernel.failNext(/^link ports/, "EADDRINUSE");
    await expect(rds.dropHosts("nqn.t:a.1")).rejects.toThrow("another listener");
    expect(kernel.tree()).toEqual([]);
    await rds.publishExport(record());
    expect(kernel.connect("nqn.t:a.1", A)).toBe(true);
  });
});

describe("size", () => {
  const image = () => path.join(dir, "files/pool/a.img");

  test("a new size is seen when the record has it", async () => {
    const rds = await backend();
    await rds.publishExport(record());
    await rds.resize("pool/a.img", 3n * MIB);
    expect(kernel.identify("nqn.t:a.1").size).toBe(MIB);
    await rds.publishExport(record({ allowHosts: ["h"] }));
    expect(kernel.identify("nqn.t:a.1").size).toBe(MIB);
    await rds.publishExport(record({ sizeBytes: 3n * MIB }));
    expect(kernel.steps.some((step) => step.endsWith("revalidate_size"))).toBe(true);
    expect(statSync(image()).size).toBe(Number(3n * MIB));
    expect(marks()).toMatchObject({ sizes: {} });
  });

  test("or when the export has ended, also by a restart after kill -9", async () => {
    const rds = await backend();
    await rds.publishExport(record());
    await rds.resize("pool/a.img", 2n * MIB);
    await rds.withdrawExport("nqn.t:a.1");
    expect(statSync(image()).size).toBe(Number(2n * MIB));
    await rds.publishExport(record({ sizeBytes: 2n * MIB }));
    await rds.resize("pool/a.img", 4n * MIB);
    const next = await backend();
    expect((await next.list())?.find((entry) => entry.path === "pool/a.img")?.size).toBe(4n * MIB);
  });

  test("meanwhile everybody but the hosts sees the new one", async () => {
    const rds = await backend();
    await rds.publishExport(record());
    await rds.write("pool/a.img", 0n, new Uint8Array([7]));
    await rds.resize("pool/a.img", 2n * MIB);
    expect(await rds.read("pool/a.img", 0n, 2)).toEqual(new Uint8Array([7, 0]));
    expect(await rds.read("pool/a.img", 2n * MIB - 1n, 9)).toEqual(new Uint8Array(1));
    await rds.copy("pool/a.img", "pool/c.img");
    expect(statSync(path.join(dir, "files/pool/c.img")).size).toBe(Number(2n * MIB));
  });

  test("a file that is removed owes nothing, and a new one under its name has its own size", async () => {
    const rds = await backend();
    await rds.publishExport(record());
    await rds.resize("pool/a.img", 2n * MIB);
    await rds.remove("pool/a.img");
    await rds.create("pool/a.img", MIB);
    await rds.withdrawExport("nqn.t:a.1");
    expect(statSync(image()).size).toBe(Number(MIB));
    await rds.resize("pool/a.img", 5n * MIB);
    expect(statSync(image()).size).toBe(Number(5n * MIB));
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
      kernel = fakeNvmet();
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
      kernel = mortal;
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
      kernel = whole;
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
      kernel = fakeNvmet();
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

describe("the simulated RDS on it", () => {
  async function both(more: Partial<SimulatorOptions> = {}): Promise<[Simulator, TestClient]> {
    const simulator = await startTestSimulator({ backend: { kind: "nvmet", ...options() }, ...more });
    cleanups.push(() => simulator.stop());
    const client = await connect(simulator);
    cleanups.push(() => client.close());
    return [simulator, client];
  }
  const exporting = (slot: string, more = "") =>
    addLine(slot, `nvme-tcp-export=yes nvme-tcp-server-nqn="nqn.t:${slot}" ${more}`);

  test("exports what /disk says, from command to command", async () => {
    const [simulator, client] = await both();
    await client.exec(exporting("a"));
    expect(kernel.connect("nqn.t:a", "h1")).toBe(true);
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h1"');
    expect(kernel.controllers).toEqual([]);
    expect(kernel.connect("nqn.t:a", "h2")).toBe(false);
    await client.exec('/disk/set a nvme-tcp-server-nqn="nqn.t:a.2" nvme-tcp-server-port=4421');
    expect(kernel.connect("nqn.t:a", "h1")).toBe(false);
    expect(kernel.connect("nqn.t:a.2", "h1", 4421)).toBe(true);
    await client.exec("/disk/set a nvme-tcp-export=no");
    expect(kernel.tree()).toEqual([]);
    await client.exec("/disk/set a nvme-tcp-export=yes");
    kernel.connect("nqn.t:a.2", "h1", 4421);
    await client.exec("/file/remove storage-pool/a.img");
    expect(kernel.tree()).toEqual([]);
    expect(simulator.device.disk("a")).toMatchObject({ ready: false });
  });

  test("an export that ends and begins again in one line has dropped its hosts", async () => {
    const [, client] = await both();
    await client.exec(exporting("a"));
    kernel.connect("nqn.t:a", "h");
    await client.exec("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes");
    expect(kernel.controllers).toEqual([]);
    kernel.connect("nqn.t:a", "h");
    await client.exec(`/disk/remove a; /file/remove storage-pool/a.img; ${exporting("a")}`);
    expect(kernel.controllers).toEqual([]);
    expect(kernel.connect("nqn.t:a", "h")).toBe(true);
  });

  test("a grown disk is shown at once or after the next export, by switch", async () => {
    const [simulator, client] = await both();
    await client.exec(exporting("a"));
    await client.exec("/disk/set a file-size=2M");
    expect((await client.exec(":put [/disk/get a size]")).stdout.trim()).toBe("2097152");
    expect(kernel.identify("nqn.t:a").size).toBe(1_048_576n);
    await client.exec("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes");
    expect(kernel.identify("nqn.t:a").size).toBe(2_097_152n);
    simulator.setSwitches({ onlineResize: "at-once" });
    kernel.connect("nqn.t:a", "h");
    await client.exec("/disk/set a file-size=3M");
    expect(kernel.identify("nqn.t:a").size).toBe(3_145_728n);
    expect(kernel.controllers).toHaveLength(1);
  });

  test("a host that loses its permission is dropped, or stays, by switch", async () => {
    const [simulator, client] = await both({ switches: { allowHostName: "comma-list" } });
    await client.exec(exporting("a", 'nvme-tcp-server-allow-host-name="h1,h2"'));
    kernel.connect("nqn.t:a", "h1");
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h1,h2,h3"');
    expect(kernel.controllers).toHaveLength(1);
    simulator.setSwitches({ revokedHost: "stays" });
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h2,h3"');
    expect(kernel.controllers).toHaveLength(1);
    simulator.setSwitches({ revokedHost: "dropped" });
    await client.exec('/disk/set a nvme-tcp-server-allow-host-name="h3"');
    expect(kernel.controllers).toEqual([]);
  });

  test.each([
    ["slot", true, true],
    ["nqn", false, true],
    ["random", false, false],
  ] as const)("device-identity=%s", async (deviceIdentity, underNewNqn, afterReboot) => {
    const [simulator, client] = await both({ switches: { deviceIdentity, rebootMs: 0 } });
    await client.exec(exporting("a"));
    const first = kernel.identify("nqn.t:a");
    await client.exec("/disk/set a comment=x");
    expect(kernel.identify("nqn.t:a")).toEqual(first);
    await simulator.reboot();
    expect(kernel.identify("nqn.t:a").uuid === first.uuid).toBe(afterReboot);
    const again = await connect(simulator);
    await again.exec('/disk/set a nvme-tcp-server-nqn="nqn.t:a.2"');
    again.close();
    expect(kernel.identify("nqn.t:a.2").uuid === first.uuid).toBe(underNewNqn);
  });

  test("a reboot takes the exports away and brings them back", async () => {
    const [simulator, client] = await both({ switches: { rebootMs: 50 } });
    await client.exec(exporting("a"));
    kernel.connect("nqn.t:a", "h");
    const reboot = simulator.reboot();
    await simulator.device.exports.reconcile();
    expect(kernel.tree()).toEqual([]);
    await reboot;
    expect(kernel.connect("nqn.t:a", "h")).toBe(true);
  });

  test("a killed simulator's exports are as the state says after the next start", async () => {
    const [, client] = await both();
    await client.exec(`${exporting("a")}; ${exporting("b")}; /disk/set a file-size=2M`);
    await kernel.configfs.make(`${kernel.root}/subsystems/nqn.foreign`);
    await Bun.write(
      path.join(dir, "state.json"),
      (await Bun.file(path.join(dir, "state.json")).text()).replace('"nqn.t:b"', '"nqn.t:b.2"'),
    );
    const [second] = await both();
    expect(kernel.tree().filter((name) => /^subsystems\/[^/]+$/.test(name))).toEqual([
      "subsystems/nqn.foreign",
      "subsystems/nqn.t:a",
      "subsystems/nqn.t:b.2",
    ]);
    expect(kernel.identify("nqn.t:a").size).toBe(2_097_152n);
    expect(second.device.disk("a")?.size).toBe(2_097_152n);
    await second.stop();
    expect(kernel.tree()).toEqual(["subsystems/nqn.foreign"]);
  });

  test("what cannot be exported is logged, tried again, and harms no other export", async () => {
    const errors: unknown[] = [];
    const logger: Logger = { ...silentLogger, error: (_text, fields) => void errors.push(fields?.nqn) };
    kernel.listeners.add("0.0.0.0:4500");
    const [, client] = await both({ logger });
    await client.exec(`${exporting("a", "nvme-tcp-server-port=4500")}; ${exporting("b")}`);
    expect(errors).toEqual(["nqn.t:a"]);
    expect(kernel.connect("nqn.t:b", "h")).toBe(true);
    kernel.listeners.clear();
    await client.exec("/disk/set b comment=x");
    expect(kernel.connect("nqn.t:a", "h", 4500)).toBe(true);
  });

  test("a start that cannot export what the state says fails and leaves nothing", async () => {
    const [first, client] = await both();
    await client.exec(`${exporting("a")}; ${exporting("b", "nvme-tcp-server-port=4500")}`);
    await first.stop();
    kernel.listeners.add("0.0.0.0:4500");
    await expect(both()).rejects.toThrow("another listener");
    expect(kernel.tree()).toEqual([]);
    kernel.listeners.clear();
    await both();
    expect(kernel.connect("nqn.t:b", "h", 4500)).toBe(true);
  });

  test("connected-hosts=busy is said to have no effect", async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (text) => void warnings.push(text) };
    const [simulator] = await both({ logger, profile: "hostile" });
    simulator.setSwitches({ connectedHosts: "dropped" });
    expect(warnings).toEqual([expect.stringContaining("connected-hosts=busy")]);
  });
});
