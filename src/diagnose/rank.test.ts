import { describe, expect, test } from "bun:test";
import { FINDING_IDS, type FindingId, findingCatalogue } from "./catalogue/catalogue.ts";
import { type Draft, rankFindings, worstOf } from "./rank.ts";

const draft = (id: FindingId, volume?: string, address?: string): Draft => ({
  id,
  subject: { kind: volume === undefined ? "node" : "volume", name: volume ?? "n" },
  volume,
  address,
  evidence: ["seen"],
});
const told = (...drafts: readonly Draft[]) =>
  rankFindings(drafts).map(({ id, volume, causedBy }) => [id, volume, causedBy?.id]);

describe("the catalogue", () => {
  test("a cause stands above what it explains, so chains of causes end", () => {
    for (const [index, id] of FINDING_IDS.entries()) {
      for (const effect of findingCatalogue[id].explains) {
        expect([id, effect, FINDING_IDS.indexOf(effect as FindingId) > index]).toEqual([id, effect, true]);
      }
    }
  });

  test("ids are kebab-case; titles are one line without a full stop, other texts are sentences", () => {
    for (const id of FINDING_IDS) {
      const { title, meaning, remedy } = findingCatalogue[id];
      expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
      expect([id, title.length < 90 && !title.endsWith(".")]).toEqual([id, true]);
      if (meaning !== "") expect([id, /^[A-Z/`a-z].*\.$/.test(meaning)]).toEqual([id, true]);
      // A remedy ends with a full stop or a command.
      expect([id, /^[A-Za-z`/].*[.`]$/.test(remedy)]).toEqual([id, true]);
    }
  });
});

describe("the order of findings", () => {
  test("the cause farthest upstream explains everything, whatever was found first", () => {
    const all = [
      draft("hung-tasks", "v"),
      draft("io-waits", "v"),
      draft("connection-not-live", "v"),
      draft("not-exported", "v"),
    ];
    for (const drafts of [all, all.toReversed()]) {
      expect(told(...drafts).map(([id, , cause]) => [id, cause])).toEqual([
        ["not-exported", undefined],
        ["connection-not-live", "not-exported"],
        ["io-waits", "not-exported"],
        ["hung-tasks", "not-exported"],
      ]);
    }
  });

  test("a cause of one volume explains nothing of another", () => {
    expect(told(draft("connection-not-live", "b"), draft("not-exported", "a"))).toEqual([
      ["not-exported", "a", undefined],
      ["connection-not-live", "b", undefined],
    ]);
  });

  test("a storage address explains only connections to it", () => {
    const found = told(
      draft("connection-not-live", "a", "192.0.2.1:4420"),
      draft("connection-not-live", "b", "198.51.100.1:4420"),
      draft("storage-unreachable", undefined, "192.0.2.1:4420"),
    );
    expect(found).toContainEqual(["connection-not-live", "a", "storage-unreachable"]);
    expect(found).toContainEqual(["connection-not-live", "b", undefined]);
  });

  test("a mild cause with a severe consequence comes before a milder group", () => {
    const found = told(
      draft("host-pid-off"),
      draft("leftover-connection", "v"),
      draft("target-refuses-connection", "v"),
    );
    expect(found.map(([id]) => id)).toEqual([
      "leftover-connection",
      "target-refuses-connection",
      "host-pid-off",
    ]);
  });

  test("nothing is lost, and the worst is known", () => {
    const drafts = FINDING_IDS.map((id) => draft(id, "v"));
    expect(
      rankFindings(drafts)
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(FINDING_IDS.toSorted());
    expect(worstOf(rankFindings([draft("multipath-off"), draft("io-waits", "v")]))).toBe("error");
    expect(worstOf([])).toBeUndefined();
  });
});
