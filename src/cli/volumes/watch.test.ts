import { afterEach, describe, expect, test } from "bun:test";
import { type Stack, startStack } from "../../../test/support/rds-stack.ts";
import { type TestIo, testIo } from "../cli.fixture.ts";
import { runVolumesWatch } from "./watch.ts";

describe("against a simulated RDS", () => {
  let stack: Stack;
  afterEach(() => stack.close());

  const start = (more: Partial<TestIo>) => {
    const stop = new AbortController();
    const io = testIo({ stop: stop.signal, ...more });
    const { host, port, hostKeyFingerprints } = stack.simulator;
    const flags = {
      "rds-address": [`${host}:${port}`],
      "rds-key-file": [stack.keyFile],
      "rds-host-key": hostKeyFingerprints,
      "cluster-id": ["test"],
    };
    const options = { output: "table", intervalSeconds: 0.02, timeoutSeconds: 2 } as const;
    return { stop, io, done: runVolumesWatch({ flags, env: {} }, options, io) };
  };
  const until = async (what: string, condition: () => boolean) => {
    for (const end = performance.now() + 10_000; !condition(); await Bun.sleep(5))
      if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
  };

  test("one command each look over one connection, after one for the version; ends with 0", async () => {
    stack = await startStack();
    const { stop, done } = start({});
    await until("some looks", () => stack.simulator.commands.length >= 6);
    stop.abort(new Error("SIGTERM"));
    expect(await done).toBe(0);
    const lines = stack.simulator.commands.map(({ line }) => line);
    expect(lines.filter((line) => line.includes("/system/resource")).length).toBe(1);
    expect(lines.filter((line) => line.includes("/disk")).length).toBe(lines.length - 1);
  });

  test("a terminal is redrawn in place and gets its cursor back", async () => {
    stack = await startStack();
    const { stop, io, done } = start({ columns: 80, rows: 10 });
    await until("two frames", () => io.written.out.split("\u001b[H").length > 2);
    stop.abort(new Error("SIGINT"));
    expect(await done).toBe(0);
    const { out } = io.written;
    expect(out.startsWith("\u001b[?25l")).toBe(true);
    expect(out.endsWith("\u001b[?25h")).toBe(true);
    expect(out.split("\u001b[2J").length).toBe(2);
    expect(out).toContain("No volumes.");
  });

  test("a connection that is lost during the first look is an outage, not the end", async () => {
    stack = await startStack();
    stack.simulator.faults.add({ kind: "cutAfter" }, { line: /\/disk/ });
    const { stop, io, done } = start({});
    await until("the loss and the return", () => io.written.out.includes(" back RDS answers again"));
    stop.abort(new Error("SIGTERM"));
    expect(await done).toBe(0);
    expect(io.written.out).toMatch(
      /^\S+ lost RDS does not answer: .*: the answer of the RDS did not arrive \(the connection was lost: /,
    );
  });

  test("a refused host key ends it at once", async () => {
    stack = await startStack();
    const { host, port } = stack.simulator;
    const flags = {
      "rds-address": [`${host}:${port}`],
      "rds-key-file": [stack.keyFile],
      "rds-host-key": [`SHA256:${"A".repeat(43)}`],
    };
    const options = {
      output: "table",
      intervalSeconds: 1,
      timeoutSeconds: 2,
    } as const;
    const io = testIo();
    await expect(runVolumesWatch({ flags, env: {} }, options, io)).rejects.toThrow(/host key/);
  });
});
