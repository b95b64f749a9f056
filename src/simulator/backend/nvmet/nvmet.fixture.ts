import { afterEach, beforeEach } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Logger } from "../../../observability/log.ts";
import { silentLogger } from "../../../observability/log.ts";
import type { Backend, ExportRecord } from "../backend.ts";
import { type FakeNvmet, fakeNvmet } from "./configfs.fixture.ts";
import { nvmetBackend } from "./nvmet.ts";

export const MIB = 1n << 20n;

/** The directory of the present test's backend. */
export let dir: string;

/** The pretended kernel of the present test. */
export let kernel: FakeNvmet;

export const cleanups: (() => unknown)[] = [];

export function temporary(): string {
  const made = mkdtempSync(path.join(tmpdir(), "nvmet-"));
  cleanups.push(() => rmSync(made, { recursive: true }));
  return made;
}

/** Goes on with another directory. */
export function changeDirectory(): void {
  dir = temporary();
}

/** Goes on with another kernel. */
export function changeKernel(next: FakeNvmet = fakeNvmet()): void {
  kernel = next;
}

export const options = () => ({ dir, root: kernel.root, configfs: kernel.configfs });

export const marks = () =>
  JSON.parse(readFileSync(path.join(dir, "nvmet.json"), "utf8")) as Record<string, unknown>;

export const nothing = { subsystems: {}, hosts: [], ports: {}, sizes: {} };

export function record(more: Partial<ExportRecord> = {}): ExportRecord {
  const base = { nqn: "nqn.t:a.1", port: 4420, path: "pool/a.img", sizeBytes: MIB, slot: "a" };
  return { ...base, allowHosts: [], identity: "slot a", ...more };
}

/** A backend with the image pool/a.img of 1 MiB. */
export async function backend(logger: Logger = silentLogger): Promise<Backend> {
  const made = await nvmetBackend(options(), logger);
  await made.openPool("pool");
  if ((await made.list())?.every((entry) => entry.path !== "pool/a.img") === true) {
    await made.create("pool/a.img", MIB);
  }
  return made;
}

/** Gives each test of a file a directory and a pretended kernel. */
export function useKernel(): void {
  beforeEach(() => {
    dir = temporary();
    kernel = fakeNvmet();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
}
