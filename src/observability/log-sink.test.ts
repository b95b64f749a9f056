import { expect, test } from "bun:test";
import { join } from "node:path";

const sink = join(import.meta.dir, "log-sink.ts");

/** Runs a program whose standard error is read only after it has had time to fill the pipe. */
async function stderrOf(script: string): Promise<{ text: string; code: number }> {
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "ignore", stderr: "pipe" });
  const text = await new Response(child.stderr).text();
  return { text, code: await child.exited };
}

test("no line is lost when the process exits right after writing more than a pipe holds", async () => {
  const { text } = await stderrOf(`
    import { descriptorSink } from ${JSON.stringify(sink)};
    const write = descriptorSink(2);
    for (let each = 0; each < 500; each += 1) write(each + " " + "x".repeat(1000));
    process.exit(0);
  `);
  const lines = text.trimEnd().split("\n");
  expect(lines).toHaveLength(500);
  expect(lines.at(-1)).toStartWith("499 ");
  expect(lines.every((line) => line.length > 1_000)).toBe(true);
});

test("nor when it crashes", async () => {
  const { text, code } = await stderrOf(`
    import { descriptorSink } from ${JSON.stringify(sink)};
    descriptorSink(2)("last words");
    process.kill(process.pid, "SIGKILL");
    await new Promise(() => {});
  `);
  expect(text).toBe("last words\n");
  expect(code).not.toBe(0);
});

test("a closed descriptor is not an error", async () => {
  const { code } = await stderrOf(`
    import { closeSync, openSync } from "node:fs";
    import { descriptorSink } from ${JSON.stringify(sink)};
    const descriptor = openSync("/dev/null", "w");
    closeSync(descriptor);
    descriptorSink(descriptor)("nobody reads this");
    process.exit(7);
  `);
  expect(code).toBe(7);
});
