import { describe, expect, test } from "bun:test";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import type { StackOptions } from "../../test/support/rds-stack.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { type Command, RouterOsClient } from "./client.ts";
import { rejectionOf } from "./failure-class.ts";
import { ros } from "./script.ts";
import type { Transport } from "./transport/transport.ts";

interface Sent {
  readonly purpose: string;
  /** The form of the listing in the line. */
  readonly form: string;
  readonly changes: boolean;
}

/** What a device says to one line; the markers of the line's own nonce stand in it as `<ok>`, `<err>`, `<p>` and `<e>`. */
type Answer = (sent: Sent) => string;

function device(answer: Answer): { client: RouterOsClient; sent: Sent[] } {
  const sent: Sent[] = [];
  const transport: Transport = {
    address: "scripted",
    exec: async (line, { purpose }) => {
      const nonce = /~ok:([0-9a-f]+)~/.exec(line)?.[1] ?? "";
      const form = line.includes(":serialize") ? "json" : line.includes(":foreach") ? "lines" : "detail";
      const one = { purpose, form, changes: line.includes("/disk/set") };
      sent.push(one);
      const marks: Record<string, string> = {
        "<ok>": `~ok:${nonce}~`,
        "<err>": `~err:${nonce}~`,
        "<p>": `~p:${nonce}:disks~`,
        "<n>": `~p:${nonce}:disks-count~`,
        "<row>": `~row:${nonce}~`,
        "<rows>": `~rows:${nonce}~`,
        "<e>": `~e:${nonce}~`,
      };
      const stdout = answer(one).replace(/<[a-z]+>/g, (mark) => marks[mark] ?? mark);
      return { stdout, stderr: "", exitCode: 0, line };
    },
    close: async () => {},
    connected: () => true,
    whyNoAnswer: () => failure("internal", { what: "never asked" }),
    onReconnect: () => () => {},
  };
  return { client: new RouterOsClient(transport), sent };
}

const { signal } = new AbortController();
const READ: Command = {
  what: "list",
  purpose: "read",
  listing: { label: "disks", menu: ros`/disk`, where: undefined, properties: ["slot"] },
  body: (rows) => rows,
  signal,
};
const CHANGE: Command = {
  ...READ,
  what: "change",
  purpose: "change",
  body: (rows) => ros`/disk/set [/disk/find where slot="x"] comment="y"; ${rows}`,
};
const NO_ROWS: Record<string, string> = {
  json: "<p>[]<e><ok>",
  lines: "<p><rows><e><ok>",
  detail: "<n>0<e><p>\r\n<e><ok>",
};

/** Diagnostics of RouterOS 7.20.8 to 7.24, and where they appear. */
const DIAGNOSTICS: readonly (readonly [string, string])[] = [
  ["caught by :onerror", "<err>bad parameter as-value (line 1 column 97) (/disk/print; line 1)"],
  ["caught by :onerror, without suffix", "<err>bad command name serialize (line 1 column 28)"],
  ["at the end of the line, behind what ran", "<p>bad command name serialize (line 1 column 28)"],
  ["in place of the line", "bad command name serialize (line 1 column 28)"],
  ["in place of the line, before 7.22", "syntax error (line 1 column 28)"],
];

test("of several replies at once that cannot be read in one form, the form changes once", async () => {
  // JSON is cut off; the next form works.
  const { client, sent } = device(({ form }) => (form === "json" ? "<p>[<e><ok>" : (NO_ROWS[form] ?? "")));
  const all = [client.run(READ), client.run(READ), client.run(READ)].map((one) => one.catch(() => "unread"));
  expect(await Promise.all(all)).toEqual(["unread", "unread", "unread"]);
  await client.run(READ);
  expect(sent.map(({ form }) => form)).toEqual(["json", "json", "json", "lines"]);
});

test("a change waits for a form that is proven, also if another reply unsettles it meanwhile", async () => {
  let isCut = false;
  const { client, sent } = device(({ form, changes }) => {
    // Both the proof of the change and the other read are sent in JSON; the read's reply comes first, and is cut off.
    if (form === "json" && !changes && !isCut) {
      isCut = true;
      return "<p>[<e><ok>";
    }
    return NO_ROWS[form] ?? "";
  });
  const [read, change] = await Promise.all([client.run(READ).catch(() => "unread"), client.run(CHANGE)]);
  expect([read, change.ok]).toEqual(["unread", true]);
  expect(sent.filter(({ changes }) => changes).map(({ form }) => form)).toEqual(["lines"]);
  expect(sent.at(-2)).toMatchObject({ form: "lines", purpose: "read" });
});

describe("a reply form that the device does not know", () => {
  for (const [where, text] of DIAGNOSTICS) {
    test(`${where}: the next form is used, and that is remembered`, async () => {
      const { client, sent } = device(({ form }) => (form === "json" ? text : (NO_ROWS[form] ?? "")));
      expect(await client.run(READ)).toMatchObject({ ok: true, rows: [] });
      expect(await client.run(READ)).toMatchObject({ ok: true, rows: [] });
      expect(sent.map(({ form }) => form)).toEqual(["json", "lines", "lines"]);
    });

    test(`${where}: a change is sent once, in the form that a read has proven`, async () => {
      const { client, sent } = device(({ form }) => (form === "json" ? text : (NO_ROWS[form] ?? "")));
      expect(await client.run(CHANGE)).toMatchObject({ ok: true });
      expect(await client.run(CHANGE)).toMatchObject({ ok: true });
      expect(sent.filter(({ changes }) => changes).map(({ form }) => form)).toEqual(["lines", "lines"]);
      expect(sent.filter(({ changes }) => !changes).map(({ form }) => form)).toEqual(["json", "lines"]);
    });
  }

  test("known in no form: told, with what the first one said", async () => {
    const { client } = device(() => "<err>bad parameter proplist (line 1 column 40) (/disk/print; line 1)");
    await expect(client.run(READ)).rejects.toMatchObject({
      id: "commandRejected",
      message: expect.stringContaining("bad parameter proplist"),
    });
  });
});

describe("a change that the device does not understand", () => {
  const once = (text: string) => device(({ changes, form }) => (changes ? text : (NO_ROWS[form] ?? "")));

  test("refused as a whole: rejected, nothing ran", async () => {
    const { client, sent } = once("syntax error (line 1 column 60)");
    await expect(client.run(CHANGE)).rejects.toMatchObject({ id: "commandRejected" });
    expect(sent.filter(({ changes }) => changes)).toHaveLength(1);
  });

  test("ended at an unknown command: it may have run so far, so the call is repeated, not final", async () => {
    for (const text of [
      "bad command name btrfs (line 1 column 60)",
      "<p>x bad command name y (line 1 column 6)",
    ]) {
      const { client, sent } = once(text);
      await expect(client.run(CHANGE)).rejects.toMatchObject({ id: "commandHalfRun", code: 14 });
      expect(sent.filter(({ changes }) => changes)).toHaveLength(1);
    }
  });

  test("failed at an unknown argument: the caller is told, and looks at what is there", async () => {
    const { client, sent } = once("<err>bad parameter swap (line 1 column 60) (/disk/set; line 1)");
    expect(await client.run(CHANGE)).toMatchObject({
      ok: false,
      failure: { kind: "parse", text: "bad parameter swap" },
    });
    expect(sent.filter(({ changes }) => changes)).toHaveLength(1);
  });

  test("a reply that is cut off in the middle is no rejection, whatever a comment in it says", () => {
    expect(rejectionOf('~p:1:disks~[{"comment":"bad command name x')).toBeUndefined();
    expect(rejectionOf('~p:1:disks~[{"comment":"syntax error (line 1 column 2)","slot":"a')).toBeUndefined();
    expect(rejectionOf("~p:1:disks~syntax error (line 1 column 2)")).toEqual({
      ran: "some",
      text: "syntax error",
    });
  });
});

describe("against RouterOS versions and their diagnostics", () => {
  const start = useStack();

  for (const [name, switches] of [
    ["an unknown command ends the line", { unknownCommand: "uncatchable" }],
    ["an unknown command fails where it stands", { unknownCommand: "catchable" }],
    ["an unknown command refuses the line", { unknownCommand: "whole-line" }],
  ] as const satisfies readonly (readonly [string, StackOptions["switches"]])[]) {
    test(`${name}: without :serialize, create and list work, and each change is sent once`, async () => {
      const on = await start({ switches: { ...switches, serialize: "missing" } });
      await createVolume(on);
      expect((await on.rds.list(on.signal)).volumes.map(({ id }) => id)).toEqual([volumeIdFromName("pvc-1")]);
      const changes = on.simulator.commands.filter(({ line }) => line.includes("/disk/add"));
      expect(changes).toHaveLength(1);
    });
  }
});
