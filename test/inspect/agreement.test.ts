import { describe, expect, test } from "bun:test";
import { listedVolumes } from "../../src/cli/volumes/listed.ts";
import { driftOf } from "../../src/controller/drift.ts";
import { DRIFT_KINDS } from "../../src/controller/migration-metrics.ts";
import { VOLUME_FINDING_IDS, type VolumeFindingId } from "../../src/inspect/catalogue.ts";
import { compareVolume, stateOf, type VolumeState } from "../../src/inspect/compare.ts";
import { ifKnown } from "../../src/inspect/fact.ts";
import type { VolumeFacts } from "../../src/inspect/facts.ts";
import type { Finding } from "../../src/inspect/finding.ts";
import { gatherVolume } from "../../src/inspect/gather.ts";
import { CASES } from "../support/volume-cases.ts";
import { changedFacts, consistentFacts, GIB, NOW } from "../support/volume-facts.ts";
import { detailsOf, diagnosisOf, worldOf } from "../support/volume-world.ts";

/** What one view says of a volume: by id of the finding, its severity and title. */
interface Said {
  readonly state: VolumeState | undefined;
  readonly findings: Readonly<Record<string, string>>;
}

interface Views {
  readonly show: Said;
  readonly list: Said;
  readonly diagnose: Said;
  readonly drift: Said;
}

const said = (findings: readonly Finding[], state?: VolumeState): Said => ({
  state,
  findings: Object.fromEntries(findings.map(({ id, severity, title }) => [id, `${severity}: ${title}`])),
});
const isOfVolumes = ({ id }: Finding) => (VOLUME_FINDING_IDS as readonly string[]).includes(id);

/** Feeds the same world to every view. */
async function viewsOf(facts: VolumeFacts): Promise<Views> {
  const world = worldOf(facts);
  const { handle, installation, now } = facts;
  const shown = await gatherVolume(world, handle, detailsOf(facts));
  const findings = compareVolume(shown);
  const row = listedVolumes(world).find((each) => each.handle === handle);
  const { findings: diagnosed } = diagnosisOf(facts, "node-a");
  const { volumes = [], foreign = [] } = ifKnown(world.survey) ?? {};
  const view = {
    persistentVolumes: ifKnown(world.cluster.pvs) ?? [],
    attachments: ifKnown(world.cluster.attachments) ?? [],
  };
  return {
    show: said(findings, stateOf(shown, findings)),
    list: said(row?.findings ?? [], row?.state),
    diagnose: said(diagnosed.filter(isOfVolumes)),
    drift: said(driftOf({ volumes, foreign }, view, installation, now)),
  };
}

/** Findings that rest on objects which only `volumes show` asks for. */
const DETAILS: readonly string[] = [
  "file-missing",
  "file-left",
  "file-owner-unknown",
  "size-file-disk",
  "claim-missing",
  "claim-replaced",
  "claim-lost",
  "expansion-pending",
  "size-above-pv",
  "pod-without-attachment",
  "attachment-without-pod",
  "migration-ended",
] satisfies VolumeFindingId[];

/** Where the views disagree; empty: they say the same of everything that they look at. */
function disagreements({ show, list, diagnose, drift }: Views): string[] {
  const ids = Object.keys(show.findings);
  // Who does not list nodes sees of a node that is gone that it has no VolumeAttachment.
  const withoutNodes = ids.map((id) => (id === "node-gone" ? "attachment-without-va" : id));
  const listed = ids.filter((id) => !DETAILS.includes(id));
  const unlike = (view: string, has: Said, wanted: readonly string[]): string[] => {
    const got = Object.keys(has.findings);
    return [
      ...got.filter((id) => !wanted.includes(id)).map((id) => `${view} alone says ${id}`),
      ...wanted.filter((id) => !got.includes(id)).map((id) => `${view} does not say ${id}`),
      ...got
        .filter((id) => id in show.findings && has.findings[id] !== show.findings[id])
        .map((id) => `${view} calls ${id} ${has.findings[id]}`),
    ];
  };
  const broken = (of: Said): boolean =>
    Object.entries(of.findings).some(([id, text]) => !DETAILS.includes(id) && /^(error|critical)/.test(text));
  // A file alone is no line of the list: neither a disk item nor a PersistentVolume names the volume.
  const isUnlisted = list.state === undefined && show.state === "missing" && listed.length === 0;
  return [
    ...unlike("list", list, listed),
    ...unlike(
      "diagnose",
      diagnose,
      withoutNodes.filter((id) => !DETAILS.includes(id)),
    ),
    ...unlike(
      "drift",
      drift,
      withoutNodes.filter((id) => (DRIFT_KINDS as readonly string[]).includes(id)),
    ),
    ...(list.state === show.state || isUnlisted || (show.state === "broken" && !broken(show))
      ? []
      : [`list calls it ${list.state}, show ${show.state}`]),
  ];
}

describe("volumes list, volumes show, diagnose and reconcile agree", () => {
  for (const { what, change, shape, ids } of CASES)
    test(what, async () => {
      const views = await viewsOf(changedFacts(change, shape));
      expect(Object.keys(views.show.findings).toSorted()).toEqual([...new Set(ids)].toSorted());
      expect(disagreements(views)).toEqual([]);
    });

  const SECONDS = NOW / 1_000;
  const [attachment] = ifKnown(consistentFacts().rds.record)?.attachments ?? [];
  const off = { disk: { exported: false } } as const;
  const handle = consistentFacts().handle;
  const states = {
    "an expansion re-exports now": [changedFacts({ ...off, record: { reExportSince: SECONDS - 2 } }), []],
    "an expansion re-exported a minute ago": [
      changedFacts({ ...off, record: { reExportSince: SECONDS - 61 } }),
      ["re-export-interrupted"],
    ],
    "an attachment of two seconds whose VolumeAttachment is not listed yet": [
      changedFacts({ cluster: { attachments: { state: "known", value: [] } } }, { since: 2 }),
      [],
    ],
    "an NQN without an epoch under a record with one": [
      changedFacts({ disk: { nqn: `nqn.2000-02.com.mikrotik:${handle}` }, attachment: { metadata: {} } }),
      ["export-nqn"],
    ],
    "an NQN without an epoch with --fencing off": [consistentFacts({ fencing: "off" }), []],
    "an NQN without an epoch in a record of version 0.1": [
      changedFacts({
        disk: { nqn: `nqn.2000-02.com.mikrotik:${handle}` },
        record: { exportName: undefined },
        attachment: { metadata: {} },
      }),
      [],
    ],
    "another size, mode and claim at once": [
      changedFacts({
        disk: { size: 9n * GIB, mountFilesystem: true },
        pv: { accessModes: ["ReadWriteOnce"] },
        record: { claim: { namespace: "a", name: "b" }, attachments: attachment ? [attachment] : [] },
      }),
      ["access-mode", "attached-size", "claim-ref", "mount-filesystem", "size-below-pv", "size-file-disk"],
    ],
  } as const;
  for (const [what, [facts, ids]] of Object.entries(states))
    test(what, async () => {
      const views = await viewsOf(facts);
      expect(Object.keys(views.show.findings).toSorted()).toEqual([...ids]);
      expect(disagreements(views)).toEqual([]);
    });
});

describe("a disagreement is found", () => {
  const broken = () => viewsOf(changedFacts({ disk: { exported: false } }));

  for (const view of ["list", "diagnose", "drift"] as const) {
    test(`where ${view} does not see it`, async () => {
      const views = { ...(await broken()), [view]: { state: "attached", findings: {} } as Said };
      expect(disagreements(views)).toContain(`${view} does not say not-exported`);
    });
    test(`where ${view} alone sees it`, async () => {
      const well = await viewsOf(consistentFacts());
      const views = { ...well, [view]: (await broken())[view] };
      expect(disagreements(views)).toContain(`${view} alone says not-exported`);
    });
    test(`where ${view} takes it for milder`, async () => {
      const views = { ...(await broken()) };
      const mild = { ...views[view], findings: { "not-exported": "info: nothing" } };
      expect(disagreements({ ...views, [view]: mild })).toContain(`${view} calls not-exported info: nothing`);
    });
  }

  test("where the state is another", async () => {
    const views = await broken();
    expect(disagreements({ ...views, list: { ...views.list, state: "attached" } })).toEqual([
      "list calls it attached, show broken",
    ]);
  });
});
