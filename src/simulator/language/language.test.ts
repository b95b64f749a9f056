import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { testConsole } from "../../../test/support/simulator-console.ts";

const console_ = await testConsole();
const { put, fail } = console_;

/** Quotes a text by the rule of facts section 2.4, written here independently of the driver. */
function quote(text: string): string {
  let quoted = "";
  for (const character of text) {
    const code = character.charCodeAt(0);
    if ('\\"$?'.includes(character)) quoted += `\\${character}`;
    else if (code < 0x20 || code > 0x7e) quoted += `\\${code.toString(16).toUpperCase().padStart(2, "0")}`;
    else quoted += character;
  }
  return `"${quoted}"`;
}

describe("strings", () => {
  test("any bytes, quoted by the rule, come through unchanged", async () => {
    const bytes = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    });
    await fc.assert(
      fc.asyncProperty(bytes, async (text) => {
        expect(await put(`:put ${quote(text)}`)).toBe(text);
        expect(await put(`:local x ${quote(text)}; :put "<$x>"`)).toBe(`<${text}>`);
        expect(await put(`:put [:len ${quote(text)}]`)).toBe(String(text.length));
      }),
      { numRuns: 300 },
    );
  });

  test("any bytes in a comment come back through JSON, and find them by comparison", async () => {
    const bytes = fc.string({
      unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
      minLength: 1,
    });
    const own = await testConsole();
    await own.put('/disk/add type=file slot="a" file-path="storage-pool/a.img" file-size=4096 comment="x"');
    await fc.assert(
      fc.asyncProperty(bytes, async (text) => {
        await own.put(`/disk/set [find where slot="a"] comment=${quote(text)}`);
        expect(await own.rows(`slot="a" comment=${quote(text)}`)).toMatchObject([{ comment: text }]);
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    [String.raw`"\41\5A"`, "AZ"],
    [String.raw`"a\_b"`, "a b"],
    [String.raw`"\a\b\f\n\r\t\v"`, "\x07\b\f\n\r\t\v"],
    ['"a\tb"', "a    b"],
    ['"a\\  \n  b"', "ab"],
    [String.raw`"\$x \? \" \\"`, '$x ? " \\'],
  ])("%s is read", async (literal, text) => {
    expect(await put(`:put ${literal}`)).toBe(text);
  });

  test.each([String.raw`"\q"`, String.raw`"\4a"`, String.raw`"\5"`, '"open', '"a$"', '"a$-b"', '"a$(1"'])(
    "%s is a syntax error",
    async (literal) => {
      const result = await console_.line(`:put "before"; :put ${literal}`);
      expect(result.outcome).toBe("parse-error");
      expect(result.output).toEqual([]);
      expect(result.error).toMatch(/\(line 1 column \d+\)$/);
    },
  );

  test("variables, expressions and commands are expanded", async () => {
    expect(await put(':local a 3; :put "$a+1=$($a+1), $[:len "four"] letters"')).toBe("3+1=4, 4 letters");
    expect(await put(':put "[$nothing]"')).toBe("[]");
  });
});

describe("expressions", () => {
  test.each([
    ['("a" . "b" . 3)', "ab3"],
    ["(1 + 2 * 3)", "7"],
    ["((1 + 2) * 3)", "9"],
    ["(7 / 2)", "3"],
    ["(7 % 4)", "3"],
    ["(-5 + 2)", "-3"],
    ["(9007199254740993 + 1)", "9007199254740994"],
    ["(1 = 1)", "true"],
    ['("1" = 1)', "false"],
    ['("a" != "b")', "true"],
    ["(2 > 10)", "false"],
    ["(2 <= 2)", "true"],
    ["(2 >= 3)", "false"],
    ['("abc" ~ "^a.c\\$")', "true"],
    ['("a.c" ~ "a\\\\.c")', "true"],
    ['("abc" ~ "a\\\\.c")', "false"],
    ['("x7" ~ "^[[:alpha:]][[:digit:]]\\$")', "true"],
    ["(true && false)", "false"],
    ["(true and !false)", "true"],
    ["(false || true)", "true"],
    ["(false or false)", "false"],
    ["(!true)", "false"],
    ["(2 in {1;2;3})", "true"],
    ['({"a";"b"}->1)', "b"],
    ['({x=1;y={"p";"q"}}->"y"->0)', "p"],
    ['({x=1}->"z")', ""],
    ["[:len {1;2;x=3}]", "3"],
    ["(json.pretty,json.no-string-conversion)", "json.pretty;json.no-string-conversion"],
    ["[:typeof 1]", "num"],
    ['[:typeof "1"]', "str"],
    ["[:typeof (1=1)]", "bool"],
    ["[:typeof {1}]", "array"],
    ["[:typeof $nope]", "nothing"],
    ["[:typeof 5s]", "time"],
    ["[:typeof *1F]", "id"],
    ['[:tonum "12"]', "12"],
    ["[:tostr 12]", "12"],
    ['[:pick "abcdef" 1 3]', "bc"],
    ["[:pick {1;2;3} 0 2]", "1;2"],
    ['[:find "abc" "c"]', "2"],
    ["yes", "yes"],
    ["1h2m3s", "1h2m3s"],
    ["(1h2m3s)", "01:02:03"],
  ])(":put %s", async (expression, text) => {
    expect(await put(`:put ${expression}`)).toBe(text);
  });

  test.each([
    ['("a" + 1)', "cannot apply + to str and num"],
    ["(1 / 0)", "division by zero"],
    ['("a" < 1)', "cannot compare if str is less than num"],
    ['("x" ~ "(")', "bad regular expression ("],
    ['("x"->1)', "cannot take an element of str"],
  ])(":put %s fails while it runs", async (expression, text) => {
    const result = await console_.line(`:put before; :put ${expression}`);
    expect(result).toMatchObject({ outcome: "runtime-error", output: ["before"], error: text });
  });
});

describe("statements", () => {
  test("if, else, loops and locals", async () => {
    expect(await put(':if (1 = 2) do={ :put "yes" } else={ :put "no" }')).toBe("no");
    expect(await put(":foreach i in={1;2;3} do={ :put $i }")).toBe("1\n2\n3");
    expect(await put(':foreach k,v in={a=1;b=2} do={ :put "$k=$v" }')).toBe("a=1\nb=2");
    expect(await put(":for i from=3 to=1 do={ :put $i }")).toBe("3\n2\n1");
    expect(await put(":local i 0; :while ($i < 3) do={ :set i ($i + 1); :put $i }")).toBe("1\n2\n3");
    expect(await put(":local i 0; :do { :set i ($i + 1) } while=($i < 5); :put $i")).toBe("5");
    expect(await put(":local x 1; { :local x 2; :put $x }; :put $x")).toBe("2\n1");
    expect(await put(':do { :local x 1 }; :put "<$x>"')).toBe("<>");
    expect(await put(":global g 7; :put $g")).toBe("7");
    expect(await fail(":if (1) do={ :put 1 }")).toBe("conditional not boolean");
    expect(await fail(":set nope 1")).toBe("variable nope is not declared");
  });

  test("errors are caught by onerror and on-error", async () => {
    expect(await put(':onerror e in={ :error "x"; :put "never" } do={ :put "got $e" }')).toBe(
      "got x (:error; line 1)",
    );
    expect(await put(':put [:onerror e in={ :put "fine" } do={ :put "no" }]')).toBe("fine\nfalse");
    expect(await put(':do { :error "x" } on-error={ :put "caught" }')).toBe("caught");
    expect(await put(":onerror e in={ /disk/remove nope } do={ :put $e }")).toBe(
      "no such item (/disk/remove; line 1)",
    );
    expect(await fail(':error "boom"')).toBe("boom");
  });

  test("a runtime error stops the line; what ran stays", async () => {
    const result = await console_.line(
      ':put "a"; /file/add name=storage-pool/kept type=directory; :error "x"; :put "b"',
    );
    expect(result).toMatchObject({ outcome: "runtime-error", output: ["a"], error: "x", mutated: true });
    expect(console_.device.file("storage-pool/kept")?.directory).toBe(true);
  });

  test("comments, blank statements, several forms of a path", async () => {
    expect(await put(";; :put 1;\n# a comment ; :put 2\n:put 3;")).toBe("1\n3");
    for (const path of ["/disk/find", "/disk find", "/ disk / find", "disk find"]) {
      expect(await put(`:put [:len [${path} where slot="storage-pool"]]`)).toBe("1");
    }
    expect(await put("/disk; :put [:len [find]]")).toBe("1");
    expect(
      await put(
        '/disk/set [find where slot="storage-pool"] comment="c"; :put [/disk/get storage-pool comment]',
      ),
    ).toBe("c");
  });

  test("commands and arguments are completed when the prefix is unambiguous", async () => {
    expect(await put(":put [:len [/disk/fi wh]]").catch(String)).toContain("parse-error");
    expect(await put(':put [:len [/disk/fin where slot="storage-pool"]]')).toBe("1");
    expect(await put(":put [/sys/ident/get name]")).toBe("rds-simulator");
  });

  test("an endless loop ends", async () => {
    expect(await fail(":while (true) do={ }")).toBe("action timed out");
  });

  test(":parse never fails and never runs", async () => {
    expect(await put(':put [:parse "/file/add name=storage-pool/parsed type=directory"]')).toBe(
      "(evl /file/add name=storage-pool/parsed type=directory)",
    );
    expect(console_.device.file("storage-pool/parsed")).toBeUndefined();
    // As RouterOS 7.20.8 to 7.23rc1 print it: the diagnostic stands in place.
    expect(await put(':put [:parse "/disk/add wrong=x"]')).toBe(
      "(evl bad parameter wrong (line 1 column 11) /disk/add)",
    );
    expect(await put(':put [:parse "/nope"]')).toBe("(<%% bad command name nope (line 1 column 2))");
    expect(await put(':put [:parse ":put 1; /disk/add wrong=x"]')).toBe(
      "(evl :put 1);(evl bad parameter wrong (line 1 column 19) /disk/add)",
    );
    expect(await put(':put [:parse ":put (1"]')).toBe("syntax error (line 1 column 6)");
  });
});

describe("what the version does not know fails when it is reached", () => {
  test.each([
    ["/nope", "bad command name nope (line 1 column 72)", "parse-error"],
    ['/nope/deep x="a;b" y=[:put {1;2}]', "bad command name nope (line 1 column 72)", "parse-error"],
    ["/disk/frobnicate", "bad command name frobnicate (line 1 column 77)", "parse-error"],
    [":frobnicate", "bad command name frobnicate (line 1 column 72)", "parse-error"],
    ["/disk/add type=file wrong=1", "bad parameter wrong (line 1 column 91)", "runtime-error"],
    ["/disk/add wrong=[:put 3] type=file", "bad parameter wrong (line 1 column 81)", "runtime-error"],
    ["/disk/add type=fil1", "input does not match any value of type (line 1 column 86)", "runtime-error"],
    [
      "/disk/add type=n",
      "ambiguous value of type, more than one possible value matches input (line 1 column 86)",
      "runtime-error",
    ],
    [
      "/disk/add mount-filesystem=maybe",
      "input does not match any value of mount-filesystem (line 1 column 98)",
      "runtime-error",
    ],
  ])("%s", async (bad, message, outcome) => {
    const good = '/system/identity/set name="before"; :put [/system/identity/get name];';
    console_.device.identity = "unchanged";
    const result = await console_.line(`${good} ${bad}; :put not-reached`);
    expect(result).toMatchObject({ outcome, output: ["before"], error: message });
    console_.device.identity = "rds-simulator";
  });

  test("and harms nobody where it is not reached", async () => {
    expect(await put(":if (false) do={ /disk/add wrong=1; /nope }; :put 1")).toBe("1");
  });
});

describe("a line is parsed before any of it runs", () => {
  test.each([
    ["/disk/find where wrong=1", "expected end of command (line 1 column 86)"],
    ["/disk/print detail as-value extra more", "expected end of command (line 1 column 103)"],
    [":put [:len", "syntax error"],
    [":put (1", "syntax error"],
    [":if (true) do={ :put 1", "syntax error"],
    [":put 1 }", "syntax error"],
    [":put {1;2", "syntax error"],
    ["%", "expected command name (line 1 column 69)"],
    [':put "a""b"', "expected end of command (line 1 column 77)"],
  ])("%s", async (bad, message) => {
    const good = "/file/add name=storage-pool/never type=directory; :put not-printed; ";
    const result = await console_.line(good + bad);
    expect(result).toMatchObject({ outcome: "parse-error", output: [], mutated: false });
    expect(result.error).toContain(message);
    expect(console_.device.file("storage-pool/never")).toBeUndefined();
  });

  test("also inside a block that would never run", async () => {
    expect(await fail(":if (false) do={ :put (1 }")).toContain("expected closing");
  });

  test("deep nesting is refused, not crashed on", async () => {
    expect(await fail(`${":if (true) do={".repeat(5000)}`)).toContain("syntax error");
    expect(await fail(`:put ${"[:len ".repeat(5000)}`)).toContain("syntax error");
    expect(await fail(`:put ${"(".repeat(50_000)}`)).toContain("syntax error");
    expect(await fail(`:put ${"{".repeat(50_000)}`)).toContain("syntax error");
    expect(await fail(`:put (1${"+1".repeat(30_000)})`)).toContain("syntax error");
    expect(await fail(`:put (1${"->1".repeat(30_000)})`)).toContain("syntax error");
    expect(await fail(`/disk/find where ${'slot="a" '.repeat(5000)}`)).toContain("syntax error");
  });

  test("any text at all is answered", async () => {
    const word = fc.constantFrom(
      ":put",
      "/disk",
      "find",
      "[",
      "]",
      "(",
      ")",
      "{",
      "}",
      '"',
      "$",
      "=",
      "where",
      ";",
      " ",
      "!",
      "->",
      "x",
      "1",
      "#",
      "~",
      "\\",
      ".",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 20 }), async (words) => {
        const result = await console_.line(words.join(""));
        expect(["ok", "parse-error", "runtime-error"]).toContain(result.outcome);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("where", () => {
  test.each([
    ['slot="a" comment="one"', 1],
    ['slot="a" && comment="one"', 1],
    ['slot="a" and comment="two"', 0],
    ['slot="a" or slot="b"', 2],
    ['slot="a" || slot="b"', 2],
    ['(slot="a" or slot="b") type=file', 2],
    ['!(slot="a") type=file', 2],
    ["type=file", 3],
    ["type=file and comment", 2],
    ['type=file comment=""', 1],
    ["type=file !comment", 1],
    ["size=1M", 3],
    ["size>1M", 1],
    ["size>=1048576", 4],
    ["mounted", 1],
    ["type=file !mounted", 3],
    ["block-device=yes type=file", 3],
    ["nvme-tcp-export=no type=file", 3],
    ['slot~"^(a|b)\\$"', 2],
    ['slot~"^[^a]\\$"', 2],
    ['slot~("^" . "a")', 1],
    ['slot=("a" . "")', 1],
    ["slot=a", 1],
    [".id!=*1 type=file", 3],
    ['slot~"^csi-" or .id=*1', 1],
    ["file-path=/storage-pool/a.img", 1],
    ['comment="we\\"ird \\$x; \\\\ \\3F"', 1],
    ['parent=""', 4],
    ['raid-master="none"', 4],
  ])("%s", async (condition, count) => {
    const own = await testConsole();
    const size = "file-size=1M mount-filesystem=no";
    await own.put(`/disk/add type=file slot=a file-path=storage-pool/a.img ${size} comment="one"`);
    await own.put(
      `/disk/add type=file slot=b file-path=storage-pool/b.img ${size} comment="we\\"ird \\$x; \\\\ ?"`,
    );
    await own.put(`/disk/add type=file slot=c file-path=storage-pool/c.img ${size}`);
    expect(await own.put(`:put [:len [/disk/find where ${condition}]]`)).toBe(String(count));
    expect(await own.put(`:put [:len [/disk/find ${condition}]]`)).toBe(String(count));
  });

  test("a variable with the name of a property means the property", async () => {
    expect(await put(':local slot "nothing"; :put [:len [/disk/find where slot=$slot]]')).toBe("1");
    expect(await put(':local other "nothing"; :put [:len [/disk/find where slot=$other]]')).toBe("0");
  });
});
