import { expect } from "bun:test";
import { repository } from "../support/executable.ts";
import { noDevices } from "../support/loop-node.ts";
import { lab } from "./scenario.ts";

/**
 * Tests with real devices and mounts. The first has some that need a right which a container or a CI machine may lack; the others run
 * on this machine itself, where it has devices.
 */
const FILES = ["verbs/expand", ...(noDevices === "" ? [] : ["lifecycle", "filesystem/check-filesystem"])];

lab(
  "the node's own tests on a kernel of their own, with every right",
  { nodes: ["node-a"], nodeMemory: "2G", hostTree: true },
  (scenario) => {
    scenario("none fails, none is skipped", async (world) => {
      const files = FILES.map((name) => `src/node/${name}.test.ts`).join(" ");
      const node = world.machine("node-a");
      const command = `cd /run/host${repository} && /run/host${process.execPath} test --timeout=120000 ${files}`;
      const { code, stdout, stderr } = await node.run(command, 900_000);
      const said = stdout + stderr;
      expect(said.split("\n").filter((line) => /^\((fail|skip)\)|error:/.test(line))).toEqual([]);
      expect(code).toBe(0);
      expect(said).toMatch(/^ *[1-9]\d* pass$/m);
    });
  },
);
