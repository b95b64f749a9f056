import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { testConsole } from "../../test/support/simulator-console.ts";
import { escapeRegex } from "./quote.ts";
import { ros } from "./script.ts";

/** Text as the simulator holds it: a RouterOS string is bytes. */
const bytesOf = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 80 }).filter((text) => text.isWellFormed()),
  // What scripts are made of, in any order.
  fc
    .array(
      fc.constantFrom(
        '"',
        "\\",
        "$",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ";",
        ":",
        "/",
        "?",
        " ",
        "\n",
        "\r",
        "\t",
        "#",
        "=",
        "~ok",
        "find",
        "\u0000",
        "é",
        "\\22",
        "$x",
      ),
      { maxLength: 20 },
    )
    .map((parts) => parts.join("")),
);

describe("values in a script, read by the simulator's own parser", () => {
  test("any string comes out as it went in, and nothing of it is executed", async () => {
    const console_ = await testConsole();
    await fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        expect(await console_.put(ros`:put ${text}`.render("n"))).toBe(bytesOf(text));
        expect(await console_.put(ros`:local x ${text}; :put ("<" . $x . ">")`.render("n"))).toBe(
          `<${bytesOf(text)}>`,
        );
      }),
      { numRuns: 400 },
    );
  });

  test("any string in a comment is found by comparison, and by its escaped regular expression", async () => {
    const console_ = await testConsole();
    await console_.put(
      '/disk/add type=file slot="a" file-path="storage-pool/a.img" file-size=4096 comment="x"',
    );
    await fc.assert(
      fc.asyncProperty(
        anyText.filter((text) => text !== "" && !text.includes("\u0000")),
        async (text) => {
          await console_.put(ros`/disk/set [/disk/find where slot="a"] comment=${text}`.render("n"));
          const count = ros`:put [:len [/disk/find where slot="a" and comment=${text}]]`.render("n");
          expect(await console_.put(count)).toBe("1");
        },
      ),
      { numRuns: 200 },
    );
    const printable = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(printable, printable, async (text, other) => {
        await console_.put(ros`/disk/set [/disk/find where slot="a"] comment=${text}`.render("n"));
        const matches = async (wanted: string) =>
          console_.put(ros`:put [:len [/disk/find where comment~${`^${escapeRegex(wanted)}$`}]]`.render("n"));
        expect(await matches(text)).toBe("1");
        expect(await matches(other)).toBe(text === other ? "1" : "0");
      }),
      { numRuns: 200 },
    );
  });
});
