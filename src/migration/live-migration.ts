import type { NodePair, SingleUserEvidence } from "./decision.ts";
import type { OneVmi } from "./guard.ts";

/** A VirtualMachineInstance as far as the guard looks at it. */
export interface VmiState {
  readonly uid: string;
  /** Where the guest runs. */
  readonly node: string | undefined;
  /** The volumes that a storage migration copies, by the names of their claims. */
  readonly migratedVolumes: readonly { readonly claims: readonly string[] }[];
}

/** A VirtualMachineInstanceMigration as far as the guard looks at it. */
export interface MigrationState {
  readonly phase: string;
  /** Known once the target pod is ready. */
  readonly targetNode: string | undefined;
  readonly targetPod: string | undefined;
}

/** KubeVirt's objects for the VirtualMachineInstance of the pods. */
export interface KubevirtState {
  /** undefined: it may not be read, or KubeVirt is not there. */
  readonly vmi: VmiState | "absent" | undefined;
  /** undefined: they may not be read, or KubeVirt is not there. */
  readonly migrations: readonly MigrationState[] | undefined;
}

const FINAL: ReadonlySet<string> = new Set(["Succeeded", "Failed"]);

/**
 * Whether KubeVirt's objects confirm the live migration that the pods prove. Objects that the driver may not read are left out of the
 * proof, except where only they show whether the source still runs.
 * @param claim name of the claim
 */
export function judgeMigration(
  { holder, requester }: NodePair,
  claim: string,
  { vmi, requesters, sourceUnknown }: OneVmi,
  { vmi: state, migrations }: KubevirtState,
): SingleUserEvidence {
  const name = `virtual machine ${vmi.namespace}/${vmi.name}`;
  // All users are this one VirtualMachineInstance: there is no other workload to stop.
  const refuse = (reason: string): SingleUserEvidence => ({ kind: "not-proven", reason, waits: true });
  if (state === "absent" || (state !== undefined && state.uid !== vmi.uid))
    return refuse(`${name} of the pods does not exist any more`);
  if (state?.migratedVolumes.some(({ claims }) => claims.includes(claim)))
    return refuse(
      `claim ${vmi.namespace}/${claim} takes part in a storage migration, which needs no second node`,
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
