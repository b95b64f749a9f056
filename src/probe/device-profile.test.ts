import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SWITCH_DOCS } from "../simulator/switches.ts";
import { EXPERIMENTS } from "./catalogue.ts";
import { type DeviceProfile, parseProfile, profileOf, profileText } from "./device-profile.ts";
import { failedPremises, openPremises, unknownAnswers, unsafeAnswers } from "./premises.ts";
import type { Result } from "./run.ts";

const of = (answers: Readonly<Record<string, string>>): DeviceProfile => ({
  format: 1,
  probedAt: "2026-11-28T08:00:00.000Z",
  probedBy: "0.2.0",
  stages: ["read-only", "scratch"],
  switches: {},
  answers: Object.fromEntries(Object.entries(answers).map(([id, answer]) => [id, { answer, came: "so" }])),
});

describe("a profile file", () => {
  test("gives back any texts of a device", () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom("yes", "7", "+05:45", "null", "failure: a: b #c", "~", "- x"),
    );
    fc.assert(
      fc.property(text, text, (value, came) => {
        const profile = {
          ...of({ version: "supported" }),
          switches: { "no-space-text": value },
          answers: { version: { answer: "supported", came } },
        };
        expect(parseProfile(profileText(profile), "f")).toEqual(profile);
      }),
    );
  });

  test("has no answer of an experiment that got none", () => {
    const [first, second] = EXPERIMENTS;
    if (first === undefined || second === undefined) throw new Error("no experiments");
    const results: Result[] = [
      {
        experiment: first,
        answer: { answer: "unanswered", came: "", switches: { version: "8" } },
        tookMs: 1,
      },
      { experiment: second, answer: { answer: "enough", came: "four" }, tookMs: 1 },
    ];
    const { switches, answers } = profileOf(results, ["read-only"], 0, "0.2.0");
    expect([switches, answers]).toEqual([{}, { [second.id]: { answer: "enough", came: "four" } }]);
  });

  test.each([
    ["", "f: has no key format, so it is no device profile"],
    ["format: 2", 'f: format is "2"; this version reads 1'],
    ["format: 1\nswitches: [a]", "f: switches is no map of texts"],
    ["format: 1\nanswers: {}", "f: answers is empty: the file is not whole"],
    // A premise that was lost would weaken the driver without a word.
    ...["", "answers:", "answers: none", "answers: [a]"].map(
      (answers) => [`format: 1\n${answers}`, "f: answers is no map of experiments"] as const,
    ),
    ...["none", "[none]", "{ came: x }", "{ answer: none }", "{ answer: [none], came: x }"].map(
      (answer) =>
        [
          `format: 1\nanswers:\n  version: { answer: supported, came: x }\n  snapshot: ${answer}`,
          "f: answers.snapshot needs the texts answer and came",
        ] as const,
    ),
    ["format: [", /^f: /],
  ])("that is %j is refused", (text, message) => {
    expect(() => parseProfile(text, "f")).toThrow(message);
  });
});

test("a profile file that was cut at any line is refused", () => {
  const lines = profileText(of({ version: "supported", comments: "long", grow: "grows" }))
    .trimEnd()
    .split("\n");
  const taken = lines.flatMap((_, at) => {
    try {
      parseProfile(lines.slice(0, at).join("\n"), "f");
      return [at];
    } catch {
      return [];
    }
  });
  expect([taken, lines.length > 10]).toEqual([[], true]);
});

describe("the answers of a device", () => {
  test.each([
    ["snapshots", { snapshot: "none" }],
    ["snapshots", { snapshot: "empty" }],
    ["snapshots", { subvolume: "missing" }],
    ["online-expansion", { "growth-seen": "never" }],
    ["allow-list", { "allow-list": "ignored" }],
    ["copies", { "disk-copy": "missing" }],
    ["copies", { "file-that-exists": "file-gone" }],
    ["expansion", { grow: "refused" }],
  ])("rule out %s: %j", (feature, answers) => {
    expect(failedPremises(of(answers)).map((failed) => failed.feature)).toEqual([feature as never]);
    expect(unsafeAnswers(of(answers))).toEqual([]);
  });

  test("make the driver unsafe as a whole, or do not", () => {
    expect(unsafeAnswers(of({ "slot-length": "too-short", comments: "long", none: "x" }))).toEqual([
      {
        experiment: "slot-length",
        came: "so",
        driver: "Slots of the driver have 32 characters, which do not fit. No volume can be made.",
      },
    ]);
  });
});

describe("a profile that says too little", () => {
  test("names answers that no experiment of this version gives, and features that it leaves open", () => {
    const answers = {
      snapshot: "broken",
      subvolume: "at-once",
      grow: "unclear",
      "line-ends": "Lf",
      later: "x",
    };
    expect(unknownAnswers(of(answers))).toEqual(["line-ends is Lf", "snapshot is broken"]);
    const { open, unknown } = openPremises(of(answers));
    expect(unknown).toEqual(["later"]);
    expect(open).toEqual([
      "copies: disk-copy was not answered",
      "copies: file-that-exists was not answered",
      "expansion: grow is unclear",
      "online-expansion: growth-seen was not answered",
      "allow-list: allow-list was not answered",
    ]);
  });
});

describe("the experiments", () => {
  test("have ids of their own, questions, and settle switches that there are", () => {
    const ids = EXPERIMENTS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const names = SWITCH_DOCS.map(({ name }) => name);
    expect(EXPERIMENTS.flatMap(({ settles }) => settles).filter((name) => !names.includes(name))).toEqual([]);
    for (const { question, answers } of EXPERIMENTS) {
      expect(question).toEndWith("?");
      expect(Object.keys(answers).length).toBeGreaterThan(0);
      for (const { driver } of Object.values(answers)) expect(driver).toEndWith(".");
    }
  });
});
