import type { Random } from "../fuzz/random.ts";
import type { Fault } from "../support/control.ts";

/** A fault, and when it strikes: milliseconds from the beginning of the work. */
export type FaultStep = { readonly at: number } & (
  | { readonly fault: "rds"; readonly rule: Fault }
  /** Removes the rules and lets hanging lines go on: they then run late. */
  | { readonly fault: "release" }
  | { readonly fault: "switches"; readonly values: Readonly<Record<string, string | number>> }
  | { readonly fault: "reboot" }
  | { readonly fault: "pool"; readonly ms: number }
  /** SIGKILL, SIGTERM or SIGSTOP of a process, which is started again, or goes on, after `ms`. */
  | { readonly fault: "kill" | "term" | "stop"; readonly process: string; readonly ms: number }
  /** The wall clock of a process jumps. */
  | { readonly fault: "clock"; readonly process: string; readonly seconds: number }
  | {
      readonly fault: "api";
      readonly how: "down" | "hang" | "slow" | "500" | "429" | "drop";
      readonly ms: number;
    }
);

/**
 * Regular expressions on RouterOS lines: any line; creates, changes of disks, deletes of the item and of the file, exports, lines that only
 * read, the sum of the sizes in a pool, growth, the version, questions of the transport. round.test.ts finds each among the lines of the driver.
 */
export const LINES = [
  undefined,
  undefined,
  "/disk/add",
  "/disk/set",
  "/disk/remove",
  "/(file|subvolume)/remove",
  "nvme-tcp-export=yes",
  "nvme-tcp-export=no",
  "^(?!.*/(disk|file)/(add|set|remove)).*/(disk|file)/print",
  "rds-csi:no-sum",
  "\\] file-size=",
  "/system/resource/get version",
  "^:(put|delay) [0-9]",
] as const;

/** Faults of which every round has the next three: six seeds in succession have each of them. */
const DECK = [
  ...["cutBefore", "cutAfter", "cutMidway", "delay", "hang", "hangMidway"],
  ...["truncateOutput", "diskFull", "permissionMissing", "refuseSessions"],
  ...["switches", "reboot", "pool", "kill", "term", "stop", "clock"],
] as const;
const SURE = 3;

type ApiFault = Extract<FaultStep, { fault: "api" }>["how"];
/** Every round with an API server has the next two; of five seeds in succession two have an API server. */
export const API_FAULTS: readonly ApiFault[] = ["down", "hang", "slow", "500", "429", "drop"];

/** Switches that may change while the device runs, with their values. */
const CHANGING: readonly (readonly [string, readonly (string | number)[]])[] = [
  ["interleaving", ["none", "statements", "arguments"]],
  ["interleaving-seed", [1, 2, 3, 4, 5]],
  ["ready-delay-ms", [0, 100, 500]],
  ["connected-hosts", ["dropped", "busy"]],
  ["parallel-channels", ["ok", "second-blocks", "second-unconfirmed", "second-refused"]],
  ["max-channels", [1, 2, 10]],
  ["max-sessions", [2, 4, 20]],
  ["client-disconnect", ["completes", "aborted"]],
  ["file-remove-in-use", ["allowed", "error"]],
  ["reboot-exports", ["kept", "lost"]],
  ["mount-delay-ms", [0, 300]],
  ["reboot-ms", [50, 800]],
  ["no-space", ["clean", "item-left", "file-left"]],
  ["exec-output-limit", ["window", "none"]],
];

/** Some switches, each with one of its values. */
export function drawSwitches(random: Random, most = 5): Record<string, string | number> {
  const values: Record<string, string | number> = {};
  for (let left = random.int(most + 1); left > 0; left -= 1) {
    const [name, choices] = random.pick(CHANGING);
    values[name] = random.pick(choices);
  }
  return values;
}

/** Rules of the RDS, each as often as it is to be drawn. */
const RULES = ["cutBefore", "cutAfter", "cutAfter", ...DECK.slice(2, 10)] as const;

function drawRule(random: Random, kind: string): Fault {
  const line = random.pick(LINES);
  const when = {
    ...(line === undefined ? {} : { line }),
    nth: random.pick([1, 1, 1, 2, 3]),
    count: 1 + random.int(3),
  };
  switch (kind) {
    case "cutMidway":
      return { kind, statement: 1 + random.int(4), ...when };
    case "delay":
      return { kind, ms: 200 + random.int(4_000), ...when };
    case "hangMidway":
      return { kind, boundary: 1 + random.int(6), ...when };
    case "truncateOutput":
      return { kind, bytes: random.int(400), ...when };
    case "permissionMissing":
      return { kind, policy: random.pick(["write", "read"]), ...when };
    case "refuseSessions":
      return { kind, mode: random.pick(["close", "authentication"]), count: 1 + random.int(4) };
    default:
      return { kind, ...when };
  }
}

export interface FaultDraw {
  readonly workMs: number;
  readonly controllers: number;
  readonly orchestrator: "none" | "kubernetes";
  /** Chooses the faults that take turns: the seed. */
  readonly turn: number;
}

/** Faults that are drawn beside those that take turns, each as often as it is to be drawn. */
const DRAWN = [
  ...["rds", "rds", "rds", "rds", "rds", "release", "switches", "reboot", "pool"],
  ...["kill", "stop", "term", "clock"],
] as const;

/** The faults of a round, in the order of their times. */
export function drawFaults(random: Random, draw: FaultDraw): FaultStep[] {
  const { workMs, controllers, orchestrator, turn } = draw;
  const controllerNames = Array.from({ length: controllers }, (_, index) => `controller-${index}`);
  const services = [...controllerNames, ...controllerNames, "node-a", "node-b", "node-c"];
  const one = (kind: string): FaultStep => {
    const at = random.int(workMs);
    const ms = 50 + random.int(2_000);
    switch (kind) {
      case "release":
      case "reboot":
        return { at, fault: kind };
      case "switches":
        return { at, fault: kind, values: drawSwitches(random, 3) };
      case "pool":
        return { at, fault: kind, ms };
      case "kill":
        return { at, fault: kind, process: random.pick([...services, "simulator"]), ms: random.int(800) };
      case "stop":
        return { at, fault: kind, process: random.pick([...services, "simulator"]), ms };
      case "term":
        return { at, fault: kind, process: random.pick(services), ms: random.int(500) };
      case "clock":
        return {
          ...{ at, fault: kind, process: random.pick(services) },
          seconds: random.pick([-7_200, -60, 5, 90, 3_700, 90_000]),
        };
      case "rds":
        return { at, fault: kind, rule: drawRule(random, random.pick(RULES)) };
      default:
        return { at, fault: "rds", rule: drawRule(random, kind) };
    }
  };
  const api = (how: ApiFault): FaultStep => ({
    ...{ at: random.int(workMs), fault: "api", how },
    ms: 50 + random.int(2_000),
  });
  const next = <T>(table: readonly T[], count: number, from: number): T[] =>
    Array.from({ length: count }, (_, index) => table[(from * count + index) % table.length] as T);
  const steps = next(DECK, SURE, turn).map(one);
  // Seeds with an API server are numbered in their order.
  if (orchestrator === "kubernetes")
    steps.push(...next(API_FAULTS, 2, 2 * Math.floor(turn / 5) + (turn % 5 > 2 ? 1 : 0)).map(api));
  for (let left = random.int(12); left > 0; left -= 1) {
    const isApi = orchestrator === "kubernetes" && random.chance(0.13);
    steps.push(isApi ? api(random.pick(API_FAULTS)) : one(random.pick(DRAWN)));
  }
  for (const step of [...steps]) {
    // A line that hangs goes on after a while: late, and after its caller has given up.
    if (step.fault === "rds" && step.rule.kind.startsWith("hang"))
      steps.push({ at: step.at + 500 + random.int(4_000), fault: "release" });
  }
  return steps.sort((a, b) => a.at - b.at);
}
