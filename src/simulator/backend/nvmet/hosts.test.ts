import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import path from "node:path";
import { silentLogger } from "../../../observability/log.ts";
import { backend, dir, kernel, MIB, marks, record, useKernel } from "./nvmet.fixture.ts";

useKernel();

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
    await rds.clone([["pool/a.img", "pool/d.img"]]);
    await rds.copy("pool/a.img", "pool/c.img");
    for (const name of ["c.img", "d.img"])
      expect([name, statSync(path.join(dir, `files/pool/${name}`)).size]).toEqual([name, Number(2n * MIB)]);
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
