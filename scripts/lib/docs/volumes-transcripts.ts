import { listedVolumes } from "../../../src/cli/volumes/listed.ts";
import type { ListedVolume } from "../../../src/cli/volumes/model.ts";
import { renderVolumes } from "../../../src/cli/volumes/render.ts";
import { ALL } from "../../../src/cli/volumes/select.ts";
import { showText } from "../../../src/cli/volumes/show-text.ts";
import { changeLine, changesBetween, type Look, type Trouble } from "../../../src/cli/volumes/watch-view.ts";
import { failure } from "../../../src/domain/errors/driver-error.ts";
import { compareVolume } from "../../../src/inspect/compare.ts";
import { known, notAsked } from "../../../src/inspect/fact.ts";
import type { VolumeFacts } from "../../../src/inspect/facts.ts";
import { type Listing, noClusterLists, type World } from "../../../src/inspect/world.ts";
import type { RdsVolume } from "../../../src/rds/volume.ts";
import { type Change, changedFacts, GIB, NOW, type Shape } from "../../../test/support/volume-facts.ts";

/** Columns of the transcripts: those of a terminal of default size. */
export const TRANSCRIPT_WIDTH = 80;

const shape = (number: number, claim: string, nodes: readonly string[], more: Partial<Shape> = {}) => ({
  ...{ name: `pvc-0a1b2c3d-0000-4000-8000-00000000000${number}`, namespace: "vms", claim, nodes },
  ...more,
});

const WELL = shape(1, "database", ["worker-1"], { sizeBytes: 40n * GIB, since: 7_200 });
const BROKEN = shape(2, "web", ["worker-2"], { since: 1_500 });

/** A volume on which everything agrees. */
export const wellFacts: VolumeFacts = changedFacts(
  {
    cluster: {
      events: known([
        {
          about: "Pod/virt-launcher-vm1-worker-1",
          type: "Normal",
          reason: "SuccessfulAttachVolume",
          message: `AttachVolume.Attach succeeded for volume "${WELL.name}"`,
          count: 1,
          at: NOW - 7_200_000,
        },
      ]),
    },
  },
  WELL,
);

/** A volume whose export was switched off on the RDS by hand, and whose expansion is under way. */
export const driftedFacts: VolumeFacts = changedFacts(
  { disk: { exported: false }, claim: { requestedBytes: 20n * GIB } },
  BROKEN,
);

/** A volume of the RDS, as the controller and the list read it. */
function onRds(more: Partial<Shape>, change: Change = {}): RdsVolume {
  const { handle, rds } = changedFacts(change, more);
  if (rds.disk.state !== "known" || rds.record.state !== "known") throw new Error(`no volume ${handle}`);
  return { id: handle as RdsVolume["id"], record: rds.record.value, disk: rds.disk.value };
}

/** A world without a cluster. */
function worldOf(listing: Listing, now: number): World {
  const { installation } = wellFacts;
  return {
    now,
    installation,
    survey: known(listing),
    cluster: noClusterLists(notAsked("--orchestrator is none")),
  };
}

/** Volumes in each state but `migrating`, whose further column leaves little room for names. */
function transcriptVolumes(): ListedVolume[] {
  const foreign = onRds(shape(4, "theirs", []));
  const found = {
    volumes: [
      onRds(WELL),
      onRds(BROKEN, { disk: { exported: false } }),
      onRds(shape(3, "spare", [], { namespace: "default", block: false, sizeBytes: 512n << 20n })),
    ],
    foreign: [
      {
        id: foreign.id,
        disk: foreign.disk,
        cause: "other-cluster" as const,
        reason: "it belongs to cluster staging",
      } as const,
    ],
  };
  return listedVolumes(worldOf(found, NOW));
}

const TERMINAL = { format: "table", now: NOW, width: TRANSCRIPT_WIDTH, colour: false } as const;

/** The whole list. */
export function listTranscript(): string {
  return renderVolumes(transcriptVolumes(), TERMINAL);
}

/** The list of `--namespace vms --problems`. */
export function selectedTranscript(): string {
  const selection = { ...ALL, namespaces: ["vms"], problems: true };
  return renderVolumes(transcriptVolumes(), { ...TERMINAL, selection });
}

/** The answer to `--node worker-9`, which no volume is attached to. */
export function emptyTranscript(): string {
  return renderVolumes(transcriptVolumes(), { ...TERMINAL, selection: { ...ALL, nodes: ["worker-9"] } });
}

/** The output of --watch on a pipe: a start, an attachment, the RDS lost and back, a deletion. */
export function watchTranscript(): string {
  const look = (seconds: number, volumes: readonly RdsVolume[], troubles: readonly Trouble[] = []): Look => {
    const now = NOW + seconds * 1_000;
    return { volumes: listedVolumes(worldOf({ volumes, foreign: [] }, now)), readAt: now, now, troubles };
  };
  const [well, idle, attached] = [onRds(WELL), onRds({ ...BROKEN, nodes: [] }), onRds(BROKEN)];
  const { summary } = failure("rdsUnreachable", { address: "192.0.2.1:22", reason: "no answer within 30 s" });
  const looks = [
    look(0, [well, idle]),
    look(2, [well, attached]),
    look(60, [well, attached], [{ side: "RDS", since: NOW + 60_000, reason: summary }]),
    look(92, [well, attached]),
    look(120, [attached]),
  ];
  return looks
    .flatMap((after, index) =>
      changesBetween(looks[index - 1], after).map((change) => changeLine(change, after.now, false)),
    )
    .join("");
}

/** `volumes show` of one volume. */
export function showTranscript(facts: VolumeFacts): string {
  return showText(facts, compareVolume(facts), { width: TRANSCRIPT_WIDTH, colour: false });
}
