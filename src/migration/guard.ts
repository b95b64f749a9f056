import type { SingleUserEvidence } from "./decision.ts";

/** A pod as far as the guard looks at it. */
export interface ClaimUser {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** undefined until it is scheduled. */
  readonly node: string | undefined;
  /** Pod phase; `Succeeded` and `Failed` pods hold nothing any more. */
  readonly phase: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly owners: readonly { readonly kind: string; readonly name: string; readonly uid: string }[];
}

/** The virtual machine behind a pod, as far as it can be told. */
interface Machine {
  readonly uid: string | undefined;
  readonly name: string | undefined;
}

/** Set by KubeVirt on launcher pods: the UID of the VirtualMachineInstance. */
const VMI_UID_LABEL = "kubevirt.io/created-by";
/** Name of the machine; deprecated, and the only mark of old releases. */
const VM_NAME_LABEL = "vm.kubevirt.io/name";
/** Pods that hold hot-plugged volumes for a launcher pod on the same node. */
const ROLE_LABEL = "kubevirt.io";
const HOTPLUG_ROLE = "hotplug-disk";

/**
 * Whether every pod that may use a claim belongs to one VirtualMachineInstance. Two such pods are the two sides of a live
 * migration; anything else on a second node is a second writer.
 * @param holder the node that has the volume: one of the pods must be there, or what runs elsewhere has not come from it
 * @param users every pod that mounts the claim, in any phase
 * @param ownerPod the pod that owns a hot-plug pod; undefined when it does not exist
 */
export function judgeClaimUsers(
  holder: string,
  users: readonly ClaimUser[],
  ownerPod: (user: ClaimUser) => ClaimUser | undefined,
): SingleUserEvidence {
  const active = users.filter((user) => user.phase !== "Succeeded" && user.phase !== "Failed");
  if (active.length === 0) return { kind: "not-proven", reason: "no running pod uses the claim" };
  const machines = active.map((user) => ({ user, machine: machineOf(user, ownerPod) }));
  const strangers = machines.filter(({ machine }) => machine === undefined).map(({ user }) => nameOf(user));
  if (strangers.length > 0) {
    return {
      kind: "not-proven",
      reason: `${list(strangers)} belong${strangers.length === 1 ? "s" : ""} to no virtual machine`,
    };
  }
  if (!active.some(({ node }) => node === holder)) {
    return {
      kind: "not-proven",
      reason: `no running pod uses the claim on node ${holder}, so nothing can be migrating from there`,
    };
  }
  if (isOne(machines.map(({ machine }) => machine))) return { kind: "proven" };
  return { kind: "not-proven", reason: `${list(active.map(nameOf))} belong to different virtual machines` };
}

/** The hot-plug pods whose owner must be looked up before judging. */
export function isHotplugPod(user: ClaimUser): boolean {
  return user.labels[ROLE_LABEL] === HOTPLUG_ROLE;
}

/** The name of the virtual machine behind a pod, if it is one's. */
export function machineNameOf(
  user: ClaimUser,
  ownerPod: (user: ClaimUser) => ClaimUser | undefined,
): string | undefined {
  return machineOf(user, ownerPod)?.name;
}

function machineOf(
  user: ClaimUser,
  ownerPod: (user: ClaimUser) => ClaimUser | undefined,
): Machine | undefined {
  if (isHotplugPod(user)) {
    const owner = ownerPod(user);
    // One step only: a launcher pod is owned by its machine.
    return owner === undefined || isHotplugPod(owner) ? undefined : launcherMachine(owner);
  }
  return launcherMachine(user);
}

function launcherMachine({ labels, owners }: ClaimUser): Machine | undefined {
  const owner = owners.find(({ kind }) => kind === "VirtualMachineInstance");
  const uid = owner?.uid ?? labels[VMI_UID_LABEL];
  const name = owner?.name ?? labels[VM_NAME_LABEL];
  return uid === undefined && name === undefined ? undefined : { uid, name };
}

/** One machine: by UID where every pod has one, else by name. A name may be reused, a UID never is. */
function isOne(machines: readonly (Machine | undefined)[]): boolean {
  const uids = machines.map((machine) => machine?.uid);
  const names = machines.map((machine) => machine?.name);
  const marks = uids.every((uid) => uid !== undefined) ? uids : names;
  return marks.every((mark) => mark !== undefined && mark === marks[0]);
}

function nameOf({ namespace, name }: ClaimUser): string {
  return `pod ${namespace}/${name}`;
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
