import { describe, expect, test } from "bun:test";
import { attachedTo, finding, listed, NOW } from "./listed.fixture.ts";
import { renderVolumes } from "./render.ts";
import {
  ALL,
  nothingSelected,
  type Selection,
  SORT_KEYS,
  type SortKey,
  selects,
  sorted,
  unreadHint,
} from "./select.ts";
import { frameLines } from "./watch-view.ts";

const GIB = 1n << 30n;
const warning = finding("pv-missing", "An orphan", { severity: "warning" });
const volumes = [
  listed(
    { csiName: "broken", state: "broken", pvc: { namespace: "b", name: "z" }, findings: [finding("x", "X")] },
    "1",
  ),
  listed(
    {
      csiName: "idle",
      state: "available",
      pvc: { namespace: "a", name: "y" },
      nodes: [],
      findings: [warning],
    },
    "2",
  ),
  listed(
    {
      csiName: "moving",
      state: "migrating",
      pvc: { namespace: "a", name: "x" },
      nodes: [attachedTo("n2.example.org"), attachedTo("n3.example.org")],
      sizeBytes: 30n * GIB,
      createdAt: "2026-02-28T12:00:00Z",
      findings: [finding("i", "I", { severity: "info" })],
    },
    "3",
  ),
  listed(
    {
      csiName: "theirs",
      state: "foreign",
      pvc: undefined,
      nodes: [],
      createdAt: undefined,
      findings: [warning],
    },
    "4",
  ),
];
const chosen = (selection: Partial<Selection>): string[] =>
  volumes.filter(selects({ ...ALL, ...selection })).map(({ csiName }) => csiName);

describe("selecting", () => {
  test("without a condition every volume", () => expect(chosen({})).toHaveLength(volumes.length));

  test("by the namespaces of claims", () => {
    expect(chosen({ namespaces: ["a"] })).toEqual(["idle", "moving"]);
    expect(chosen({ namespaces: ["a", "b"] })).toEqual(["broken", "idle", "moving"]);
    expect(chosen({ namespaces: ["other"] })).toEqual([]);
  });

  test("by node, whole or as its first label", () => {
    expect(chosen({ nodes: ["n1"] })).toEqual(["broken"]);
    expect(chosen({ nodes: ["n3"] })).toEqual(["moving"]);
    expect(chosen({ nodes: ["n3.example.org", "n1"] })).toEqual(["broken", "moving"]);
    expect(chosen({ nodes: ["n"] })).toEqual([]);
    expect(chosen({ nodes: ["n3.example"] })).toEqual([]);
  });

  test("by state", () => {
    expect(chosen({ states: ["migrating", "foreign"] })).toEqual(["moving", "theirs"]);
  });

  test("by problems: errors and warnings", () => {
    expect(chosen({ problems: true })).toEqual(["broken", "idle", "theirs"]);
  });

  test("each condition must fit", () => {
    expect(chosen({ namespaces: ["a"], problems: true })).toEqual(["idle"]);
    expect(chosen({ namespaces: ["a"], nodes: ["n1"] })).toEqual([]);
  });
});

test("an empty result says how many volumes there are, how many each condition fits, and which values exist", () => {
  expect(nothingSelected(volumes, { ...ALL, problems: true })).toEqual([
    "No volume matches --problems. 4 volumes exist.",
  ]);
  expect(nothingSelected(volumes.slice(0, 1), { ...ALL, states: ["foreign"] })).toEqual([
    "No volume matches --state foreign. 1 volume exists.",
  ]);
  expect(
    nothingSelected(volumes, { namespaces: ["kube"], nodes: ["n1"], states: ["attached"], problems: true }),
  ).toEqual([
    "No volume matches -n kube --node n1 --state attached --problems. 4 volumes exist.",
    "-n kube alone matches 0.",
    "The namespaces: a, b.",
    "--node n1 alone matches 1.",
    "--state attached alone matches 0.",
    "--problems alone matches 3.",
  ]);
  const many = Array.from({ length: 30 }, (_, index) =>
    listed({ nodes: [attachedTo(`worker-${index + 10}.example`)] }, `${index}`),
  );
  expect(nothingSelected(many, { ...ALL, nodes: ["worker39"] }).at(-1)).toMatch(
    /^The nodes with volumes: worker-10, worker-11, .*, worker-19 and 20 more\. Did you mean worker-39\?$/,
  );
});

describe("volumes whose record cannot be read", () => {
  const unread = (name: string, pvc?: { namespace: string; name: string }) =>
    listed({ csiName: "", state: "foreign", nodes: [], pvc, recordUnknown: true }, name);
  const all = [...volumes, unread("u1"), unread("u2", { namespace: "a", name: "x" })];

  test("are mentioned where a node or a namespace is asked for", () => {
    expect(unreadHint(all, { ...ALL, nodes: ["n1"] })).toEqual([
      "2 volumes whose record cannot be read may belong here; --state foreign lists them.",
    ]);
    const one = ["1 volume whose record cannot be read may belong here; --state foreign lists it."];
    expect(unreadHint(all, { ...ALL, namespaces: ["b"] })).toEqual(one);
    expect(unreadHint(all, { ...ALL, namespaces: ["b"], nodes: ["n1"] })).toEqual(one);
    expect(unreadHint(all, { ...ALL, namespaces: ["a"] })).toEqual(one);
    for (const selection of [ALL, { ...ALL, problems: true }]) expect(unreadHint(all, selection)).toEqual([]);
    expect(unreadHint(volumes, { ...ALL, nodes: ["n1"] })).toEqual([]);
  });

  test("are mentioned below a list, also below an empty one, and on the screen of --watch", () => {
    const options = { format: "table", now: NOW, width: undefined, colour: false } as const;
    for (const nodes of [["n1"], ["nowhere"]])
      expect(renderVolumes(all, { ...options, selection: { ...ALL, nodes } })).toContain(
        "\n2 volumes whose record cannot be read may belong here",
      );
    const look = { volumes: all, readAt: NOW, now: NOW, troubles: [] };
    const screen = { wide: false, columns: 100, rows: 40, colour: false };
    expect(frameLines(look, { ...screen, selection: { ...ALL, nodes: ["n1"] } }).join("\n")).toContain(
      "2 volumes whose record cannot be read may belong here",
    );
  });
});

test("orders", () => {
  const order = (key: SortKey) => sorted(volumes, key).map(({ csiName }) => csiName);
  expect(Object.fromEntries(SORT_KEYS.map((key) => [key, order(key).join(" ")]))).toEqual({
    problems: "broken idle theirs moving",
    claim: "moving idle broken theirs",
    node: "broken moving idle theirs",
    state: "broken moving idle theirs",
    size: "moving idle broken theirs",
    age: "moving idle broken theirs",
    handle: sorted(volumes, "handle")
      .map(({ csiName }) => csiName)
      .join(" "),
  });
  const handles = sorted(volumes, "handle").map(({ handle }) => handle);
  expect(handles).toEqual(handles.toSorted());
  const lost = finding("record-unusable", "A PersistentVolume names it");
  const unusable = listed({ csiName: "unusable", state: "foreign", findings: [lost] }, "5");
  expect(sorted([...volumes, unusable], "problems").map(({ csiName }) => csiName)).toEqual([
    "broken",
    "unusable",
    "idle",
    "theirs",
    "moving",
  ]);
  // The same volumes give the same list, whatever their order was.
  for (const key of SORT_KEYS) expect(sorted(volumes.toReversed(), key)).toEqual(sorted(volumes, key));
});
