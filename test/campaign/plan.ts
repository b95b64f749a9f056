import type { Random } from "../fuzz/random.ts";
import { drawFaults, drawSwitches, type FaultStep } from "./draw-faults.ts";

/** How a volume is used: raw block, an ext4, or the raw block disk of a virtual machine (ReadWriteMany). */
export type Kind = "block" | "filesystem" | "machine";

/** One thing that the user of a volume does. An action that does not fit the state of the volume is left out. */
export type Action =
  | { readonly do: "attach"; readonly node: string }
  /** The calls of a second node: refused, except for a machine. */
  | { readonly do: "elsewhere"; readonly node: string }
  | { readonly do: "migrate"; readonly node: string; readonly keep: "target" | "source" }
  | { readonly do: "write"; readonly ms: number }
  | { readonly do: "read" }
  | { readonly do: "expand"; readonly mib: number }
  | { readonly do: "detach" }
  /** Detaches while the node still has the volume, as Kubernetes does after six minutes. Block volumes only. */
  | { readonly do: "force" }
  /** Detaches while a process has the pod's volume open, or the device, or a foreign mount has the filesystem. */
  | { readonly do: "busy"; readonly by: "descriptor" | "device" | "mount"; readonly ms: number }
  /** Publishes to all nodes at once, on all replicas: no more may have it than may write. */
  | { readonly do: "race" }
  /** The node or a controller is killed `ms` after an attach, or a detach, has begun. */
  | {
      readonly do: "crash";
      readonly victim: "node" | "controller";
      readonly node: string;
      readonly ms: number;
    }
  /** The caller of a publish, or of a stage, leaves after `ms`; the volume is detached at once. */
  | { readonly do: "leave"; readonly node: string; readonly during: "publish" | "stage"; readonly ms: number }
  /** DeleteVolume; of an attached volume it must be refused. */
  | { readonly do: "delete" }
  /** CreateVolume once more. */
  | { readonly do: "create" }
  | { readonly do: "list" }
  | { readonly do: "capacity" }
  | { readonly do: "stats" };

export interface VolumePlan {
  readonly name: string;
  readonly kind: Kind;
  readonly mib: number;
  readonly actions: readonly Action[];
}

/** A round: everything that the seed decides. The order in which concurrent calls meet is real. */
export interface Plan {
  readonly seed: number;
  readonly profile: string;
  readonly switches: Readonly<Record<string, string | number>>;
  readonly orchestrator: "none" | "kubernetes";
  readonly fencing: "epoch" | "epoch+hosts" | "off";
  readonly onlineExpansion: "announce" | "re-export";
  readonly controllers: number;
  /** Deadline of each call, milliseconds. */
  readonly deadlineMs: number;
  /** Actions begin, and faults strike, within this time; milliseconds. */
  readonly workMs: number;
  readonly volumes: readonly VolumePlan[];
  readonly faults: readonly FaultStep[];
}

export const NODES = ["node-a", "node-b", "node-c"] as const;

const SIZES_MIB = [16, 32, 64];

/** The actions, each as often as it is to be drawn. */
const DRAWN: readonly Action["do"][] = [
  ...["attach", "attach", "attach", "attach", "attach", "attach"],
  ...["migrate", "migrate", "migrate", "migrate", "migrate"],
  ...["detach", "detach", "detach", "write", "write", "write", "read", "read", "read"],
  ...["elsewhere", "elsewhere", "elsewhere", "expand", "expand", "force", "force", "busy", "busy"],
  ...["race", "race", "leave", "leave", "leave", "crash", "crash"],
  ...["delete", "create", "list", "capacity", "stats"],
] as Action["do"][];

/** Installations, which take turns: a few seeds in succession have each of them. */
const SETUPS = [
  { orchestrator: "none", controllers: 1 },
  { orchestrator: "kubernetes", controllers: 1 },
  { orchestrator: "none", controllers: 2 },
  { orchestrator: "kubernetes", controllers: 2 },
  { orchestrator: "none", controllers: 1 },
] as const;
const PROFILES = ["current", "hostile", "strict", "old"] as const;
/** Their number and that of the installations have no divisor in common, so that each meets each. */
const FENCINGS = ["epoch", "epoch+hosts", "epoch", "off", "epoch", "epoch+hosts", "epoch"] as const;

/** The element of a table whose turn it is. */
const turnOf = <T>(table: readonly T[], turn: number): T => table[turn % table.length] as T;

function drawAction(random: Random, fencing: Plan["fencing"]): Action {
  const drawn = random.pick(DRAWN);
  // Without fencing nothing keeps a node that was detached by force from writing: round.test.ts shows it.
  const kind = drawn === "force" && fencing === "off" ? "detach" : drawn;
  switch (kind) {
    case "attach":
    case "elsewhere":
      return { do: kind, node: random.pick(NODES) };
    case "migrate":
      return { do: kind, node: random.pick(NODES), keep: random.chance(0.7) ? "target" : "source" };
    case "write":
      return { do: kind, ms: 50 + random.int(500) };
    case "expand":
      return { do: kind, mib: 4 + 4 * random.int(4) };
    case "crash":
      return {
        ...{ do: kind, victim: random.pick(["node", "node", "controller"]), node: random.pick(NODES) },
        ms: random.int(random.pick([30, 150, 400])),
      };
    case "leave":
      return {
        ...{ do: kind, node: random.pick(NODES), during: random.pick(["publish", "publish", "stage"]) },
        ms: random.int(random.pick([5, 40, 400, 1_500])),
      };
    case "busy":
      return {
        do: kind,
        by: random.pick(["descriptor", "device", "device", "mount"]),
        ms: 100 + random.int(1_500),
      };
    default:
      return { do: kind };
  }
}

export interface PlanOptions {
  readonly workMs?: number;
  /** Actions of each volume. */
  readonly actions?: number;
}

/** The round of a seed. */
export function drawPlan(seed: number, random: Random, options: PlanOptions = {}): Plan {
  const { workMs = 12_000, actions = 16 } = options;
  const { orchestrator, controllers } = turnOf(SETUPS, seed);
  const fencing = turnOf(FENCINGS, seed);
  const volumes = Array.from({ length: 2 + random.int(3) }, (_, index) => ({
    name: `v${index}-${seed}`,
    kind: random.pick(["block", "filesystem", "machine"] as const),
    mib: random.pick(SIZES_MIB),
    actions: Array.from({ length: actions }, () => drawAction(random, fencing)),
  }));
  return {
    seed,
    profile: turnOf(PROFILES, seed),
    // A node waits 25 s for a size that the device does not show: in most rounds it does.
    switches: {
      ...(random.chance(0.8) ? { "online-resize": "at-once" } : {}),
      ...drawSwitches(random),
      // A controller needs three sessions: fewer come later, when it has its own.
      "max-sessions": 20,
    },
    orchestrator,
    fencing,
    onlineExpansion: seed % 3 === 0 ? "re-export" : "announce",
    controllers,
    deadlineMs: random.pick([3_000, 6_000, 10_000]),
    workMs,
    volumes,
    faults: drawFaults(random, { workMs, controllers, orchestrator, turn: seed }),
  };
}
