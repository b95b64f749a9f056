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
export interface Machine {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** What the pods of a claim prove: one machine with a pod on either node. */
export interface OneMachine {
  readonly kind: "one-machine";
  readonly machine: Machine;
  /** Names of its pods on the requesting node, and of the launchers that own them. */
  readonly requesters: readonly string[];
  /** The kubelet of the holder is silent, so what its pod does is not known. */
  readonly sourceUnknown: boolean;
}

/** The pod that owns a pod; undefined when it does not exist any more. */
export type OwnerPod = (user: ClaimUser) => ClaimUser | undefined;

/**
 * Whether every pod that may use a claim belongs to one VirtualMachineInstance, and that has a pod on both nodes. Two such pods are
 * the two sides of a live migration; anything else on a second node is a second writer.
 * @param users every pod that mounts the claim, in any phase
 */
export function judgeClaimUsers(
  pair: NodePair,
  users: readonly ClaimUser[],
  ownerPod: OwnerPod,
): OneMachine | NotProven {
  const { holder, requester } = pair;
  const active = users.filter((user) => user.phase !== "Succeeded" && user.phase !== "Failed");
  if (active.length === 0)
    return { kind: "not-proven", reason: "no running pod uses the claim", waits: true };
  const leaving = leavingHolder(pair, active);
  const found = active.map((user) => ({ user, machine: machineOf(user, ownerPod) }));
  const strangers = found.filter(({ machine }) => machine === undefined).map(({ user }) => nameOf(user));
  if (strangers.length > 0)
    return (
      leaving ??
      competing(`${list(strangers)} belong${strangers.length === 1 ? "s" : ""} to no virtual machine`)
    );
  // A source runs; a pod that has not started yet is none.
  const sources = active.filter(({ node, phase }) => node === holder && phase !== "Pending");
  if (sources.length === 0) return leaving ?? competing(noSource(holder));
  const [machine, ...others] = found.flatMap((each) => each.machine ?? []);
  if (machine === undefined || others.some(({ uid }) => uid !== machine.uid))
    return leaving ?? competing(`${list(active.map(nameOf))} belong to different virtual machines`);
  const requesters = active.filter(({ node }) => node === requester);
  if (requesters.length === 0)
    return {
      kind: "not-proven",
      reason: `no pod of the virtual machine is on node ${requester}, so nothing can be migrating there`,
      waits: true,
    };
  return {
    kind: "one-machine",
    machine,
    requesters: requesters.flatMap((user) => [user.name, ownerPod(user)?.name ?? user.name]),
    sourceUnknown: sources.every(({ phase }) => phase === "Unknown"),
  };
}

/**
 * The machine of a pod, by the reference to its controller and nothing else: whoever makes a pod may give it any label, and
 * `virtctl guestfs --vm` copies those of a machine onto a pod that has no owner. A pod that holds hot-plugged volumes is owned by a
 * launcher pod, which is owned by the machine.
 */
export function machineOf(user: ClaimUser, ownerPod: OwnerPod): Machine | undefined {
  const owner = controllerOf(user);
  if (owner === undefined || !isPod(owner)) return ownMachine(user);
  const launcher = ownerPod(user);
  // A pod of the same name may have taken the owner's place. One step only: a launcher is owned by its machine.
  return launcher?.uid === owner.uid ? ownMachine(launcher) : undefined;
}

/** The pod that must be looked up before the machine of this one is known. */
export function owningPod(user: ClaimUser): ClaimOwner | undefined {
  const owner = controllerOf(user);
  return owner !== undefined && isPod(owner) ? owner : undefined;
}

function ownMachine(pod: ClaimUser): Machine | undefined {
  const owner = controllerOf(pod);
  // Any version of the group: an object keeps the one that it was written with.
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
 * What the requester waits for when every pod on the holder has ended or is being deleted, and no third node has one: a hand-over, or
 * a dead holder. undefined when another workload is in the way.
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

/** Refused because of a workload that must not use the claim as well. */
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
