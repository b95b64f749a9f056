import { describe, expect, test } from "bun:test";
import { failure } from "../../domain/errors/driver-error.ts";
import { type Command, RouterOsClient } from "../client.ts";
import { ros } from "../script.ts";
import type { ExecResult, Transport } from "../transport/transport.ts";
import type { Listing, ReplyForm } from "./form.ts";
import { parseJsonRows } from "./json-form.ts";

/** A client whose reads are all answered by the reply to the first one, as if the transport had joined them. */
function joined(text: string, formNames: readonly ReplyForm["name"][] = ["json"]) {
  const parsed: string[] = [];
  const sent: string[] = [];
  let shared: Promise<ExecResult> | undefined;
  const transport: Transport = {
    address: "scripted",
    exec: (line, { nonce = "" }) => {
      sent.push(line);
      const stdout = `~p:${nonce}:disks~${text}~e:${nonce}~~ok:${nonce}~`;
      shared ??= Promise.resolve({ stdout, stderr: "", exitCode: 0, line });
      return shared;
    },
    close: async () => {},
    connected: () => true,
    whyNoAnswer: () => failure("internal", { what: "never asked" }),
    onReconnect: () => () => {},
  };
  const forms = formNames.map(
    (name): ReplyForm => ({
      name,
      script: () => ros`:put ${name}`,
      parse: (reply, { label }) => {
        parsed.push(name);
        return parseJsonRows(reply.flat(label) ?? "");
      },
    }),
  );
  return { client: new RouterOsClient(transport, undefined, forms), parsed, sent };
}

const listing: Listing = { label: "disks", menu: ros`/disk`, where: undefined, properties: ["slot", "size"] };
const read = (): Command => ({
  what: "list",
  purpose: "read",
  listing,
  body: (rows) => rows,
  signal: new AbortController().signal,
});

describe("a reply that callers share", () => {
  test("is parsed once, and all get the same frozen rows", async () => {
    const { client, parsed } = joined('[{"slot":"a","size":1},{"slot":"b","size":2}]');
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => client.run(read())));
    expect(parsed).toEqual(["json"]);
    const lists = outcomes.map((outcome) => (outcome.ok ? outcome.rows : []));
    expect(new Set(lists).size).toBe(1);
    const [first = []] = lists;
    expect(first.map((row) => [row.get("slot"), row.get("size")])).toEqual([
      ["a", "1"],
      ["b", "2"],
    ]);
    expect(Object.isFrozen(first)).toBe(true);
  });

  test("is parsed anew for other properties", async () => {
    const { client, parsed } = joined('[{"slot":"a"}]');
    await client.run(read());
    await client.run({ ...read(), listing: { ...listing, properties: ["slot"] } });
    expect(parsed).toEqual(["json", "json"]);
  });

  test("that cannot be read moves the device one form on, however many callers share it", async () => {
    const { client, parsed, sent } = joined("broken", ["json", "lines", "detail"]);
    const calls = Array.from({ length: 3 }, () => client.run(read()).catch((error) => String(error.id)));
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 3 }, () => "replyUnreadable"));
    expect(parsed).toEqual(["json"]);
    await client.run(read()).catch(() => {});
    expect(sent.at(-1)).toContain(':put "lines"');
  });
});
