import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture } from "../../support/processes.ts";
import { until } from "../../support/until.ts";

const RECORD = 4096;
const SLOTS = 32_768;
/** A writer ends here by itself: on a fast disk all slots would be used before a signal reaches it. */
const END = 10_000;
const noCompiler = Bun.which("gcc") === null ? "(skipped: gcc is not installed)" : "";

describe.skipIf(noCompiler !== "")(`the records of a guest ${noCompiler}`.trim(), () => {
  let base = "";
  let program = "";
  /** Written up to this record, without a place that was used twice. */
  let last = 0;
  const written = () => join(base, "written");

  /** Builds records.c for so many slots. */
  async function build(slots: number): Promise<string> {
    const to = join(base, `records-${slots}`);
    const source = join(import.meta.dir, "records.c");
    const built = await capture("gcc", ["-O2", `-DSLOTS=${slots}`, "-o", to, source]);
    expect(built).toEqual({ code: 0, stdout: "", stderr: "" });
    return to;
  }

  /** Writes records up to so many, and a few more. @returns the last acknowledged one */
  async function write(with_: string, to: string, least: number): Promise<number> {
    await writeFile(to, "");
    const progress = `${to}.progress`;
    const writer = Bun.spawn([with_, "write", to, "1", progress, "1", String(END)], { stderr: "pipe" });
    const acknowledged = async () => Number(await readFile(progress, "utf8").catch(() => "0"));
    await until(
      "records are written",
      async () => writer.exitCode !== null || (await acknowledged()) >= least,
    );
    writer.kill("SIGTERM");
    expect([await writer.exited, await new Response(writer.stderr).text()]).toEqual([0, ""]);
    return await acknowledged();
  }

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), "rds-csi-records-"));
    program = await build(SLOTS);
    last = await write(program, written(), 60);
    // A disk is as large as all slots.
    const disk = await open(written(), "r+");
    await disk.truncate(SLOTS * RECORD);
    await disk.close();
  });
  afterAll(() => rm(base, { recursive: true, force: true }));

  /** What the check says of a copy of the disk that was changed. */
  async function checked(change: (disk: Awaited<ReturnType<typeof open>>) => Promise<unknown>, upTo = last) {
    const copy = join(base, "copy");
    await copyFile(written(), copy);
    const disk = await open(copy, "r+");
    await change(disk);
    await disk.close();
    const { code, stderr } = await capture(program, ["verify", copy, String(upTo), "1"]);
    return [code, stderr.trimEnd()];
  }
  const page = async (disk: Awaited<ReturnType<typeof open>>, slot: number) =>
    (await disk.read(Buffer.alloc(RECORD), 0, RECORD, slot * RECORD)).buffer;

  test("are all found as they were written, and the newest is the last one", async () => {
    expect(last).toBeLessThanOrEqual(END);
    expect(await checked(async () => {})).toEqual([0, ""]);
    expect((await capture(program, ["newest", written()])).stdout).toBe(`${last}\n`);
  });

  test("one that the disk has lost is missed, however long ago it was written", async () => {
    const lose = (slot: number) =>
      checked((disk) => disk.write(Buffer.alloc(RECORD), 0, RECORD, slot * RECORD));
    expect(await lose(1)).toEqual([1, "slot 1: record 0 instead of 1"]);
    expect(await lose(last)).toEqual([1, `slot ${last}: record 0 instead of ${last}`]);
  });

  test("one that is there twice, or in another's place, is noticed", async () => {
    const copied = (to: number) =>
      checked(async (disk) => disk.write(await page(disk, 5), 0, RECORD, to * RECORD));
    expect(await copied(SLOTS - 1)).toEqual([1, `slot ${SLOTS - 1}: record 5 instead of 0, damaged`]);
    expect(await copied(6)).toEqual([1, "slot 6: record 5 instead of 6, damaged"]);
  });

  test("one that is damaged is noticed", async () => {
    const damaged = await checked((disk) => disk.write(Buffer.from("x"), 0, 1, 9 * RECORD + 100));
    expect(damaged).toEqual([1, "slot 9: record 9 instead of 9, damaged"]);
  });

  test("one that was never acknowledged is noticed, but for the next one, which was under way", async () => {
    expect(await checked(async () => {}, last - 1)).toEqual([0, ""]);
    expect(await checked(async () => {}, last - 2)).toEqual([1, `slot ${last}: record ${last} instead of 0`]);
  });

  test("end at the last one that is asked for", async () => {
    const to = join(base, "ended");
    await writeFile(to, "");
    const wrote = await capture(program, ["write", to, "1", `${to}.progress`, "1", "70"]);
    expect(wrote).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(Number(await readFile(`${to}.progress`, "utf8"))).toBe(70);
  });

  test("in a few slots the newest of each is what is looked for", async () => {
    const few = await build(16);
    const to = join(base, "few");
    const newest = await write(few, to, 100);
    expect(await capture(few, ["verify", to, String(newest)])).toMatchObject({ code: 0, stderr: "" });
    const disk = await open(to, "r+");
    await disk.write(Buffer.alloc(RECORD), 0, RECORD, (newest % 16) * RECORD);
    await disk.close();
    const { code, stderr } = await capture(few, ["verify", to, String(newest)]);
    expect([code, stderr]).toEqual([1, `slot ${newest % 16}: record 0 instead of ${newest}\n`]);
  });
});
