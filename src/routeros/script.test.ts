import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { envelope, payload, printed, readReply } from "./envelope.ts";
import { classifyFailure, FAILURE_CLASSES, ownReason, rejectionOf, tidyFailure } from "./failure-class.ts";
import { escapeRegex, quote } from "./quote.ts";
import { ros } from "./script.ts";

/** Reads a RouterOS string literal, written from the grammar and not from `quote`. */
function unquote(literal: string): string {
  const letters: Record<string, string> = {
    '"': '"',
    "\\": "\\",
    $: "$",
    "?": "?",
    _: " ",
    a: "\x07",
    b: "\b",
    f: "\f",
    n: "\n",
    r: "\r",
    t: "\t",
    v: "\v",
  };
  expect(literal.startsWith('"') && literal.endsWith('"')).toBe(true);
  const bytes: number[] = [];
  for (let at = 1; at < literal.length - 1; at++) {
    const char = literal[at] ?? "";
    if (char === "$" || char === '"') throw new Error(`unescaped ${char}`);
    if (char !== "\\") bytes.push(char.charCodeAt(0));
    else if (/^[0-9A-F]{2}$/.test(literal.slice(at + 1, at + 3))) {
      bytes.push(Number.parseInt(literal.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      at += 1;
      bytes.push((letters[literal[at] ?? ""] ?? "").charCodeAt(0));
    }
  }
  return Buffer.from(bytes).toString("utf8");
}

describe("quote", () => {
  test("round-trips any text as one printable line", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        const literal = quote(text);
        expect(literal).toMatch(/^[\x20-\x7e]*$/);
        expect(unquote(literal)).toBe(Buffer.from(text, "utf8").toString("utf8"));
      }),
    );
  });

  test("writes hex digits in upper case and escapes what RouterOS expands", () => {
    expect(quote("\x1f ~\x7f")).toBe('"\\1F ~\\7F"');
    expect(quote('a"b\\c$d?e\nf\u00e9')).toBe('"a\\"b\\\\c\\$d\\?e\\0Af\\C3\\A9"');
  });
});

test("escapeRegex matches its text and nothing else", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, other) => {
      const pattern = new RegExp(`^${escapeRegex(text)}$`);
      expect(pattern.test(text)).toBe(true);
      expect(pattern.test(other)).toBe(text === other);
    }),
  );
});

describe("ros", () => {
  test("quotes strings, writes numbers and booleans, nests scripts, joins lists", () => {
    const find = ros`[/disk/find where slot=${'x" ; /system/reboot'}]`;
    const script = ros`/disk/set ${find} file-size=${5n} swap=${false}; ${[ros`:put 1`, ros`:put 2`]}`;
    expect(script.render("n")).toBe(
      '/disk/set [/disk/find where slot="x\\" ; /system/reboot"] file-size=5 swap=no; :put 1; :put 2',
    );
  });

  test("writes yes, no and zero; nothing stands between its parts", () => {
    expect(ros`a=${true} b=${false} c=${0n}${ros``}${[]}`.render("n")).toBe("a=yes b=no c=0");
  });

  test("keeps backslashes of the template and refuses negative numbers", () => {
    expect(ros`a="\\."`.render("n")).toBe('a="\\\\."');
    expect(() => ros`size=${-1n}`).toThrow(RangeError);
  });
});

describe("envelope", () => {
  const nonce = "00ff00ff00ff00ff";

  test("renders the markers with the nonce", () => {
    expect(envelope(ros`${payload("v", ros`[/x]`)}; ${printed("t", ros`/y`)}`).render(nonce)).toBe(
      `:onerror e in={ :put ("~p:${nonce}:v~" . [/x] . "~e:${nonce}~"); :put "~p:${nonce}:t~"; /y; :put "~e:${nonce}~"; :put "~ok:${nonce}~" } do={ :put ("~err:${nonce}~" . $e) }`,
    );
    for (const label of ["Bad label", "", "1v", "v v", 'v"', "v_", `v${"x".repeat(20)}`]) {
      expect(() => payload(label, ros`1`)).toThrow(RangeError);
      expect(() => printed(label, ros`1`)).toThrow(RangeError);
    }
    for (const label of ["v", "v-1", `v${"x".repeat(19)}`])
      expect(payload(label, ros`1`).render("N")).toBe(`:put ("~p:N:${label}~" . 1 . "~e:N~")`);
  });

  test("reads ok, runtime error on either stream, and no verdict", () => {
    expect(readReply(nonce, `~ok:${nonce}~\r\n`, "").verdict).toEqual({ kind: "ok" });
    expect(readReply(nonce, `~ok:\r\n${nonce}~`, "").verdict).toEqual({ kind: "ok" });
    expect(readReply(nonce, "", `~err:${nonce}~no such item\n`).verdict).toEqual({
      kind: "runtime",
      text: "no such item",
    });
    expect(readReply(nonce, "syntax error (line 1 column 3)\r\n", "").verdict.kind).toBe("none");
  });

  test("another command's markers mean nothing", () => {
    const reply = readReply(nonce, "~ok:ffffffffffffffff~~p:ffffffffffffffff:v~1~e:ffffffffffffffff~", "");
    expect(reply.verdict.kind).toBe("none");
    expect(reply.flat("v")).toBeUndefined();
  });

  test("gives the text of an error and of a reply without verdict, without blanks around it", () => {
    expect(readReply(nonce, `~err:${nonce}~ no such item \r\n`, "").verdict).toEqual({
      kind: "runtime",
      text: "no such item",
    });
    const none = readReply(nonce, " syntax error\r\n", " more\n");
    expect(none.verdict).toEqual({ kind: "none", text: "syntax error  more" });
    expect(readReply(nonce, " cut", "").verdict).toEqual({ kind: "none", text: "cut" });
    expect(none.nonce).toBe(nonce);
  });

  test("a payload stands between its own markers; as text it keeps its line ends", () => {
    const before = `~e:${nonce}~ ~p:${nonce}:w~0~e:${nonce}~`;
    const reply = readReply(nonce, `${before}~p:${nonce}:v~1\r\n2~e:${nonce}~~p:${nonce}:x~3`, "");
    expect([reply.flat("v"), reply.text("v")]).toEqual(["12", "1\r\n2"]);
    expect([reply.flat("x"), reply.text("x")]).toEqual([undefined, undefined]);
    expect([reply.flat("y"), reply.text("y")]).toEqual([undefined, undefined]);
    expect(readReply(nonce, `~p:${nonce}:v~~e:${nonce}~`, "").flat("v")).toBe("");
  });

  test("a payload that was cut off does not go on with the next one", () => {
    const start = `~p:${nonce}:v~`;
    const whole = `${start}1234~e:${nonce}~~ok:${nonce}~`;
    const reply = readReply(nonce, `${start}12\r\n${whole}`, "");
    expect([reply.flat("v"), reply.text("v")]).toEqual([undefined, undefined]);
    const broken = readReply(nonce, `${start}12~p:\r\n${nonce}:w~~e:${nonce}~`, "");
    expect([broken.flat("v"), broken.text("v")]).toEqual([undefined, undefined]);
    for (const marker of ["ok", "err", "p"])
      expect(readReply(nonce, `${start}12~${marker}:${nonce}~~e:${nonce}~`, "").flat("v")).toBeUndefined();
    expect(
      readReply(nonce, `${"text of another line ".repeat(9)}~e:${nonce}~`, "").flat("v"),
    ).toBeUndefined();
    expect(readReply(nonce, `${start}12~ok:ffff~~e:${nonce}~`, "").flat("v")).toBe("12~ok:ffff~");
  });

  test("the markers in a line that the console shows again are no verdict and no payload", () => {
    const line = envelope(payload("v", ros`[/x]`)).render(nonce);
    for (let at = 0; at <= line.length; at += 1) {
      const shown = readReply(nonce, `[csi@rds] > ${line.slice(0, at)}`, "");
      expect({ at, kind: shown.verdict.kind }).toEqual({ at, kind: "none" });
      const cut = readReply(nonce, `${line.slice(0, at)}\r\n~p:${nonce}:v~12`, "no such item");
      expect({ at, kind: cut.verdict.kind, v: cut.flat("v") }).toEqual({ at, kind: "none", v: undefined });
    }
    const whole = readReply(nonce, `${line}\r\n~p:${nonce}:v~12~e:${nonce}~\r\n~ok:${nonce}~`, "");
    expect([whole.verdict.kind, whole.flat("v")]).toEqual(["ok", "12"]);
    expect(readReply(nonce, `${line}\r\n~err:${nonce}~no such item`, "").verdict).toEqual({
      kind: "runtime",
      text: "no such item",
    });
  });

  test("joins a wrapped payload; a cut one is missing", () => {
    expect(readReply(nonce, `~p:${nonce}:v~12\r\n34~e:${nonce}~`, "").flat("v")).toBe("1234");
    expect(readReply(nonce, `~p:${nonce}:v~1234`, "").flat("v")).toBeUndefined();
  });
});

describe("failure classes", () => {
  const texts = [
    ["bad command name serialize (line 1 column 9)", "parse"],
    ["expected end of command (line 1 column 40)", "parse"],
    ["syntax error (line 1 column 2)", "parse"],
    ["no such item (4)", "absent"],
    ["failure: already have such entry", "exists"],
    ["failure: no space left on disk (/disk/add; line 1)", "space"],
    ["could not unmount, stop using it first", "busy"],
    ["not enough permissions (9)", "permission"],
    ["action timed out - try again, if error continues contact MikroTik support", "transient"],
    ["input does not match any value of fs", "argument"],
    ["rds-csi:pool-not-mounted (:error; line 1)", "own"],
    ["failure: something nobody has seen", "other"],
  ] as const;
  for (const [text, kind] of texts) {
    test(`${text} is ${kind}`, () => expect(classifyFailure(text)).toBe(kind));
  }

  test("each class has a text here, and there are no other classes", () => {
    const kinds = new Set<string>([...texts.map(([, kind]) => kind)]);
    expect([...kinds].toSorted()).toEqual([...FAILURE_CLASSES].toSorted());
  });

  test("a reason of our own begins the text, behind blanks at most", () => {
    expect(classifyFailure("\r\n rds-csi:changed")).toBe("own");
    expect(classifyFailure("failure: rds-csi:changed")).toBe("other");
    expect(ownReason("\r\n rds-csi:changed")).toBe("changed");
    expect(ownReason("failure: rds-csi:changed")).toBeUndefined();
  });

  test("a diagnostic refuses the whole line, or ends it where it stands", () => {
    expect(rejectionOf("\r\nsyntax error (line 12 column 2)\r\n")).toEqual({
      ran: "nothing",
      text: "syntax error",
    });
    for (const [text, reason] of [
      ["bad command name serialize", "bad command name serialize"],
      ["~p:1:disks~expected end of command (line 12 column 40)", "expected end of command"],
    ] as const)
      expect(rejectionOf(text)).toEqual({ ran: "some", text: reason });
    expect(rejectionOf("~p:1:disks~expected 12 (line 12 column 40)")).toBeUndefined();
  });

  test("positions are dropped from the end only, with and without blanks around them", () => {
    expect(tidyFailure("\r\nfailure: x(/disk/add;line 1) (:error; line 12)\r\n")).toBe("failure: x");
    expect(tidyFailure("  failure: x ")).toBe("failure: x");
    expect(tidyFailure("failure (line 1 column 2) of x")).toBe("failure (line 1 column 2) of x");
  });

  test("a text in another language is none of them; what scripts of ours say is read all the same", () => {
    for (const text of [
      "Fehler: kein Speicherplatz mehr auf dem Datentr\u00e4ger (/disk/add; line 1)",
      "Element nicht vorhanden (4)",
      "\u30a2\u30a4\u30c6\u30e0\u304c\u898b\u3064\u304b\u308a\u307e\u305b\u3093",
      "ba\u015far\u0131s\u0131z: BU KAYIT VAR",
    ]) {
      expect(classifyFailure(text)).toBe("other");
    }
    expect(classifyFailure("rds-csi:changed (:error; Zeile 1)")).toBe("own");
    expect(ownReason("rds-csi:changed (:error; Zeile 1)")).toBe("changed");
  });

  test("the reason of our own errors is read, positions are dropped", () => {
    expect(ownReason("rds-csi:changed (:error; line 1)")).toBe("changed");
    expect(tidyFailure("failure: no space left (/disk/add; line 1)")).toBe("failure: no space left");
    expect(tidyFailure("no permissions (9) (/disk/add; line 1) (:error; line 1)")).toBe("no permissions (9)");
    expect(tidyFailure("x".repeat(1_000)).length).toBe(300);
  });
});
