import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { page, pageOf, ROOT, section } from "./pages.fixture.ts";

const DIRECTORY = "/tmp/rds-try";
const ADDRESS = "127.0.0.1:2222";
const absent = ["bash", "ssh-keygen"].filter((tool) => Bun.which(tool) === null);
if (!existsSync(join(ROOT, "dist/rds-csi"))) absent.push("dist/rds-csi");
const missing = absent.length === 0 ? "" : `(needs ${absent.join(", ")})`;

/** A port that nobody listens on now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Ends a process group, as a step that failed leaves the services of earlier steps running. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

test.skipIf(missing !== "")(
  `README: the steps by hand work as they stand ${missing}`,
  async () => {
    const { blocks } = pageOf("README.md", section(page("README.md"), "By hand"));
    const steps = blocks.filter(({ language }) => language === "sh").map(({ text }) => text);
    expect(steps.length).toBeGreaterThan(3);
    const base = await mkdtemp(join(tmpdir(), "rds-readme-"));
    const script = steps
      .join("\n")
      .replace(/^scripts\/build.*$/m, "")
      .replaceAll(DIRECTORY, join(base, "t"))
      .replaceAll(ADDRESS, `127.0.0.1:${await freePort()}`);
    // Its own process group, so that nothing outlives a failure.
    const child = spawn("bash", ["-euc", `export PATH="$PATH:/usr/bin"\n${script}`], {
      cwd: ROOT,
      detached: true,
      env: { PATH: process.env.PATH ?? "", HOME: base },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let err = "";
    child.stdout.on("data", (data) => (out += data));
    child.stderr.on("data", (data) => (err += data));
    const closed = new Promise<void>((resolve) => child.on("close", () => resolve()));
    const exited = new Promise<number | null>((resolve) => {
      const timer = setTimeout(() => resolve(null), 45_000);
      child.on("exit", (exit) => {
        clearTimeout(timer);
        resolve(exit);
      });
    });
    try {
      const code = await exited;
      endGroup(child.pid);
      await closed;
      expect({ code, out, err: code === 0 ? "" : err }).toMatchObject({ code: 0, err: "" });
      // The handle is made from the name, so the page shows the real one.
      const shown = blocks.find(({ text }) => text.startsWith("STATE"))?.text ?? "";
      const words = (text: string) => text.replace(/ \d+s /, " ").replace(/ +/g, " ");
      expect(words(out)).toContain(words(shown));
      expect(existsSync(join(base, "t"))).toBe(false);
    } finally {
      endGroup(child.pid);
      await rm(base, { recursive: true });
    }
  },
  60_000,
);
