import { describe, expect, test } from "bun:test";
import { DriverError } from "../../src/domain/errors/driver-error.ts";
import { diskFromRow, disks } from "../../src/rds/disk.ts";
import { type Command, RouterOsClient } from "../../src/routeros/client.ts";
import { detailForm } from "../../src/routeros/reply/detail-form.ts";
import type { ReplyForm } from "../../src/routeros/reply/form.ts";
import { jsonForm } from "../../src/routeros/reply/json-form.ts";
import { linesForm } from "../../src/routeros/reply/lines-form.ts";
import { ros } from "../../src/routeros/script.ts";
import type { ProfileName } from "../../src/simulator/profiles.ts";
import { addLine } from "../support/simulator-console.ts";
import { consoleOf, distorted, remembered, type Said, type Text, transportTo } from "./distorted.ts";
import { FUZZ_SEED, Random, SHORT_SECONDS } from "./random.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const satisfies readonly ProfileName[];
const FORMS = [jsonForm, linesForm, detailForm];
const RECORD =
  "rds1;n=pvc-1;c=test;t=1700000000;e=2;a=node-a,nqn.2014-08.org.nvmexpress:uuid:1,0,bw,1700000001";
const { signal } = new AbortController();

const READ: Command = {
  what: "list",
  purpose: "read",
  listing: disks(undefined),
  body: (rows) => rows,
  signal,
};
/** Of which the cut is tried at every byte. */
const SHORT = disks(undefined, ["slot", "comment", "size"]);
const CHANGE: Command = {
  ...READ,
  what: "change",
  purpose: "change",
  body: (rows) => ros`/disk/set [/disk/find where slot="csi-1"] comment=${RECORD}; ${rows}`,
};

type Ask = (line: string) => Promise<Text>;

/** A device with three disks of ours and its pool. */
async function filled(profile: ProfileName): Promise<Ask> {
  const device = await consoleOf(profile);
  for (const slot of ["csi-1", "csi-2"]) await device.put(addLine(slot, `comment="${RECORD}"`));
  await device.put(addLine("foreign", 'comment="kept for the auditor"'));
  return remembered(device);
}

/** The disks that a client reads from a text; the id of its error. */
async function readFrom(form: ReplyForm, command: Command, ask: Ask, distort: (said: Said) => Text) {
  const client = new RouterOsClient(transportTo(ask, distort), undefined, [form]);
  try {
    const outcome = await client.run(command);
    return outcome.ok ? outcome.rows.map(diskFromRow) : `failed: ${outcome.failure.kind}`;
  } catch (error) {
    if (!(error instanceof DriverError) || error.id === "internal") throw error;
    return error.id;
  }
}

describe.each(PROFILES)("replies of profile %s", (profile) => {
  for (const form of FORMS) {
    test(`${form.name}, cut at every byte: all rows once the end was seen, else an error`, async () => {
      const device = await filled(profile);
      for (const command of [
        { ...READ, listing: SHORT },
        { ...CHANGE, listing: SHORT },
      ]) {
        const truth = await readFrom(form, command, device, ({ reply }) => reply);
        expect(truth).toHaveLength(4);
        const sent: Said[] = [];
        await readFrom(form, command, device, (said) => {
          sent.push(said);
          return said.reply;
        });
        const length = sent.at(-1)?.reply.stdout.length ?? 0;
        let read = 0;
        for (let at = 0; at <= length; at += 1) {
          const got = await readFrom(form, command, device, (said) =>
            said.line.includes("/disk/set") || command.purpose === "read"
              ? { ...said.reply, stdout: said.reply.stdout.slice(0, at) }
              : said.reply,
          );
          if (typeof got === "string") continue;
          expect({ at, got }).toEqual({ at, got: truth as never });
          read += 1;
        }
        // The end of the last marker and of its line.
        expect(read).toBeGreaterThan(0);
        expect(read).toBeLessThan(10);
      }
    });
  }
});

test(`${SHORT_SECONDS} s of distorted replies: all rows as they are, or an error`, async () => {
  const random = new Random(FUZZ_SEED);
  const devices = await Promise.all(PROFILES.map(filled));
  const truths = new Map<string, unknown>();
  const ends = new Map<string, number>();
  const end = performance.now() + SHORT_SECONDS * 1_000;
  while (performance.now() < end) {
    const at = random.int(devices.length);
    const device = devices[at] as Ask;
    const form = random.pick(FORMS);
    const key = `${at} ${form.name}`;
    if (!truths.has(key)) truths.set(key, await readFrom(form, READ, device, ({ reply }) => reply));
    const others = [await device(":put 1"), await device("/disk/print detail")];
    let seen = "";
    const got = await readFrom(form, random.pick([READ, CHANGE]), device, (said) => {
      const result = distorted(random, { ...said, earlier: [...said.earlier, ...others] });
      seen = JSON.stringify({ profile: PROFILES[at], form: form.name, ...result });
      return result;
    });
    const kind = typeof got === "string" ? got : "OK";
    ends.set(kind, (ends.get(kind) ?? 0) + 1);
    if (typeof got === "string" || Bun.deepEquals(got, truths.get(key))) continue;
    expect({ seen, got: got as unknown }).toEqual({ seen, got: truths.get(key) });
  }
  console.log(`fuzz: replies ${JSON.stringify([...ends].sort())}`);
  expect(ends.get("OK")).toBeGreaterThan(10);
});
