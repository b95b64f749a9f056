import { elapsedSeconds, isOverdue } from "../migration/deadline.ts";
import { ifKnown } from "./fact.ts";
import { type VolumeFacts, volumeOf } from "./facts.ts";
import { listed } from "./finding.ts";
import { isRecent } from "./grace.ts";
import type { Drift } from "./volume-finding.ts";

const ENDED = new Set(["Succeeded", "Failed"]);

/** The migration: its deadline, the record against itself, and against KubeVirt. */
export function* compareMigration(facts: VolumeFacts): Iterable<Drift> {
  const record = volumeOf(facts)?.record;
  if (record === undefined) return;
  const { migration, attachments } = record;
  const nodes = attachments.map(({ node }) => node);
  const wrong = migration === undefined ? attachments.length > 1 : attachments.length !== 2;
  if (wrong) {
    const rds = `${migration === undefined ? "no migration" : "migration"}, attached to ${listed(nodes)}`;
    const text =
      migration === undefined
        ? `It is attached to ${attachments.length} nodes without a migration`
        : `Its record shows a migration with ${attachments.length} attached nodes`;
    yield ["migration-record", text, { rds }];
  }
  if (migration === undefined) return;
  const seconds = facts.now / 1_000;
  const elapsed = Math.floor(elapsedSeconds(migration, seconds));
  if (isOverdue(migration, seconds)) {
    const text = `Its migration has taken ${elapsed} s, ${migration.timeoutSeconds} s are allowed`;
    const rds = `${elapsed} s of ${migration.timeoutSeconds} s`;
    yield ["migration-overdue", text, { rds, kubernetes: phases(facts) }];
  }
  const machines = ifKnown(facts.cluster.machines);
  if (machines === undefined || isRecent(migration.since, facts.now)) return;
  const all = machines.flatMap(({ migrations }) => migrations);
  const runs = all.some(({ phase }) => !ENDED.has(phase));
  // The node that is left is detached some seconds after the end.
  const justEnded = all.some(
    ({ completed }) => completed !== undefined && isRecent(completed / 1_000, facts.now),
  );
  if (machines.length > 0 && !runs && !justEnded) {
    const text = `It is attached to ${listed(nodes)} for a migration, and KubeVirt knows of none that runs`;
    const kubernetes = phases(facts) ?? "no migration";
    yield ["migration-ended", text, { rds: `attached to ${listed(nodes)}`, kubernetes }];
  }
}

/** The newest migration of each machine, as KubeVirt has it. */
function phases({ cluster }: VolumeFacts): string | undefined {
  const newest = (ifKnown(cluster.machines) ?? []).flatMap(({ migrations }) => migrations.at(-1) ?? []);
  return newest.length === 0
    ? undefined
    : newest.map(({ name, phase }) => `${name} ${phase || "new"}`).join(", ");
}
