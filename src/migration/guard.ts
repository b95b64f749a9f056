import type { NodePair, NotProven } from "./decision.ts";

/** A reference to an owner, as far as the guard looks at it. */
export interface ClaimOwner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  /** Whether this is the managing controller; an object has at most one. */
  readonly controller: boolean;
}

/** A pod as far as the guard looks at it. */
export interface ClaimUser {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** undefined until it is scheduled. */
  readonly node: string | undefined;
  /** Pod phase; `Succeeded` and `Failed` pods hold nothing any more. */
  readonly phase: string;
  /** Whether it is being deleted; on a node that is dead it stays so. */
  readonly terminating?: boolean;
  readonly owners: readonly ClaimOwner[];
}

/** A VirtualMachineInstance as its pods name it. Its UID is the same on both sides of a live migration. */
export interface VmiRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The proof by the pods of a claim: one VirtualMachineInstance with a pod on each node. */
export interface OneVmi {
  readonly kind: "one-vmi";
  readonly vmi: VmiRef;
  /** Names of its pods on the requesting node, and of the launchers that own them. */
  readonly requesters: readonly string[];
  /** The kubelet of the holder is silent, so the state of its pod is unknown. */
  readonly sourceUnknown: boolean;
}

/** The pod that owns a pod; undefined when it does not exist any more. */
export type OwnerPod = (user: ClaimUser) => ClaimUser | undefined;

/**
 * Whether every pod that may use a claim belongs to one VirtualMachineInstance, which has a pod on both nodes. These two pods are the two
 * sides of a live migration. Any other pod on a second node is a second writer.
 * @param users every pod that mounts the claim, in any phase
 */
export function judgeClaimUsers(
  pair: NodePair,
  users: readonly ClaimUser[],
  ownerPod: OwnerPod,
): OneVmi | NotProven {
  const { holder, requester } = pair;
  const active = users.filter((user) => user.phase !== "Succeeded" && user.phase !== "Failed");
  if (active.length === 0)
    return { kind: "not-proven", reason: "no running pod uses the claim", waits: true };
  const leaving = leavingHolder(pair, active);
  const found = active.map((user) => ({ user, vmi: vmiOf(user, ownerPod) }));
  const strangers = found.filter(({ vmi }) => vmi === undefined).map(({ user }) => nameOf(user));
  if (strangers.length > 0)
    return (
      leaving ??
      competing(`${list(strangers)} belong${strangers.length === 1 ? "s" : ""} to no virtual machine`)
    );
  // A source runs; a pod that has not started yet is none.
  const sources = active.filter(({ node, phase }) => node === holder && phase !== "Pending");
  if (sources.length === 0) return leaving ?? competing(noSource(holder));
  const [vmi, ...others] = found.flatMap((each) => each.vmi ?? []);
  if (vmi === undefined || others.some(({ uid }) => uid !== vmi.uid))
    return leaving ?? competing(`${list(active.map(nameOf))} belong to different virtual machines`);
  const requesters = active.filter(({ node }) => node === requester);
  if (requesters.length === 0)
    return {
      kind: "not-proven",
      reason: `no pod of the virtual machine is on node ${requester}, so nothing can be migrating there`,
      waits: true,
    };
  return {
    kind: "one-vmi",
    vmi,
    requesters: requesters.flatMap((user) => [user.name, ownerPod(user)?.name ?? user.name]),
    sourceUnknown: sources.every(({ phase }) => phase === "Unknown"),
  };
}

/**
 * The VirtualMachineInstance of a pod, only by the reference to its controller: any user may label a pod, and `virtctl guestfs --vm` copies
 * labels of a VirtualMachineInstance onto a pod without owner. A pod that holds hot-plugged volumes is owned by a launcher pod, which the
 * VirtualMachineInstance owns.
 */
export function vmiOf(user: ClaimUser, ownerPod: OwnerPod): VmiRef | undefined {
  const owner = controllerOf(user);
  if (owner === undefined || !isPod(owner)) return ownVmi(user);
  const launcher = ownerPod(user);
  // A pod of the same name may have taken the owner's place. One step only: a VirtualMachineInstance owns its launcher.
  return launcher?.uid === owner.uid ? ownVmi(launcher) : undefined;
}

/** The owning pod, whose owner is the VirtualMachineInstance of this pod. */
export function owningPod(user: ClaimUser): ClaimOwner | undefined {
  const owner = controllerOf(user);
  return owner !== undefined && isPod(owner) ? owner : undefined;
}

function ownVmi(pod: ClaimUser): VmiRef | undefined {
  const owner = controllerOf(pod);
  // Any version of the group: an object keeps the version of its writer.
  if (owner?.kind !== "VirtualMachineInstance" || !/^kubevirt\.io\/[^/]+$/.test(owner.apiVersion))
    return undefined;
  return owner.uid === "" ? undefined : { namespace: pod.namespace, name: owner.name, uid: owner.uid };
}

function controllerOf({ owners }: ClaimUser): ClaimOwner | undefined {
  return owners.find(({ controller }) => controller);
}

function isPod({ apiVersion, kind }: ClaimOwner): boolean {
  return apiVersion === "v1" && kind === "Pod";
}

/**
 * The reason to wait when every pod on the holder has ended or is being deleted, and no third node has one: a hand-over, or a dead holder.
 * undefined when another workload uses the claim.
 */
function leavingHolder({ holder, requester }: NodePair, active: readonly ClaimUser[]): NotProven | undefined {
  const there = active.filter(({ node }) => node === holder);
  const isElsewhere = ({ node }: ClaimUser) => node !== undefined && node !== holder && node !== requester;
  if (active.some(isElsewhere) || !there.every(({ terminating }) => terminating === true)) return undefined;
  const names = `${list(there.map(nameOf))} still end${there.length === 1 ? "s" : ""}`;
  const reason =
    there.length === 0 ? noSource(holder) : `${names} on node ${holder}, so nothing migrates from there`;
  return { kind: "not-proven", reason, waits: true };
}

function noSource(holder: string): string {
  return `no running pod uses the claim on node ${holder}, so nothing can be migrating from there`;
}

/** A refusal because of another workload that uses the claim. */
function competing(reason: string): NotProven {
  return { kind: "not-proven", reason, waits: false };
}

function nameOf({ namespace, name }: ClaimUser): string {
  return `pod ${namespace}/${name}`;
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
