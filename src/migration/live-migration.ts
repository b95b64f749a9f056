import type { NodePair, SingleUserEvidence } from "./decision.ts";
import type { OneMachine } from "./guard.ts";

/** A VirtualMachineInstance as far as the guard looks at it. */
export interface MachineState {
  readonly uid: string;
  /** Where the guest runs. */
  readonly node: string | undefined;
  /** What a storage migration copies, by the names of the claims. */
  readonly migratedVolumes: readonly { readonly claims: readonly string[] }[];
}

/** A VirtualMachineInstanceMigration of the machine as far as the guard looks at it. */
export interface MigrationState {
  readonly phase: string;
  /** Known once the target pod is ready. */
  readonly targetNode: string | undefined;
  readonly targetPod: string | undefined;
}

/** What KubeVirt says about the machine of the pods. */
export interface KubevirtState {
  /** undefined: it may not be read, or KubeVirt is not there. */
  readonly machine: MachineState | "absent" | undefined;
  /** undefined: they may not be read, or KubeVirt is not there. */
  readonly migrations: readonly MigrationState[] | undefined;
}

const FINAL: ReadonlySet<string> = new Set(["Succeeded", "Failed"]);

/**
 * Whether what the pods prove is a live migration by what KubeVirt says. What it does not let the driver read is left out of the proof,
 * except where nothing else tells whether the source still runs.
 * @param claim name of the claim
 */
export function judgeMigration(
  { holder, requester }: NodePair,
  claim: string,
  { machine, requesters, sourceUnknown }: OneMachine,
  { machine: state, migrations }: KubevirtState,
): SingleUserEvidence {
  const name = `virtual machine ${machine.namespace}/${machine.name}`;
  // All users are this one machine: there is no other workload to stop.
  const refuse = (reason: string): SingleUserEvidence => ({ kind: "not-proven", reason, waits: true });
  if (state === "absent" || (state !== undefined && state.uid !== machine.uid))
    return refuse(`${name} of the pods does not exist any more`);
  if (state?.migratedVolumes.some(({ claims }) => claims.includes(claim)))
    return refuse(
      `claim ${machine.namespace}/${claim} takes part in a storage migration, which needs no second node`,
    );
  if (state?.node !== undefined && state.node !== holder) return refuse(`${name} runs on node ${state.node}`);
  if (migrations === undefined) {
    const unknown = sourceUnknown || (state !== undefined && state.node === undefined);
    return unknown
      ? refuse(
          `whether the source on node ${holder} still runs is unknown, and KubeVirt's migrations cannot be read`,
        )
      : { kind: "proven" };
  }
  const fits = ({ phase, targetNode, targetPod }: MigrationState) =>
    !FINAL.has(phase) &&
    (targetNode === undefined || targetNode === requester) &&
    (targetPod === undefined || requesters.includes(targetPod));
  return migrations.some(fits)
    ? { kind: "proven" }
    : refuse(`KubeVirt knows of no unfinished migration of ${name} to node ${requester}`);
}
