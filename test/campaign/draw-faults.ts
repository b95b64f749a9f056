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

/** Regular expressions on RouterOS lines: any line, creates, changes of records, deletes, exports, reads, uploads of the sum. */
const LINES = [
  undefined,
  undefined,
  "/disk/add",
  "/disk/set",
  "/disk/remove",
  "/file/remove",
  "nvme-tcp-export=yes",
  "nvme-tcp-export=no",
  "/disk/print",
  "file-size",
] as const;

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

function drawRule(random: Random): Fault {
  const line = random.pick(LINES);
  const when = {
    ...(line === undefined ? {} : { line }),
    nth: 1 + random.int(3),
    count: 1 + random.int(3),
  };
  switch (random.int(10)) {
    case 0:
      return { kind: "cutBefore", ...when };
    case 1:
    case 2:
      return { kind: "cutAfter", ...when };
    case 3:
      return { kind: "cutMidway", statement: 1 + random.int(4), ...when };
    case 4:
      return { kind: "delay", ms: 200 + random.int(4_000), ...when };
    case 5:
      return { kind: "hang", ...when };
    case 6:
      return { kind: "hangMidway", boundary: 1 + random.int(6), ...when };
    case 7:
      return { kind: "truncateOutput", bytes: random.int(400), ...when };
    case 8:
      return random.chance(0.5)
        ? { kind: "diskFull", ...when }
        : { kind: "permissionMissing", policy: random.pick(["write", "read"]), ...when };
    default:
      return {
        kind: "refuseSessions",
        mode: random.pick(["close", "authentication"]),
        count: 1 + random.int(4),
      };
  }
}

export interface FaultDraw {
  readonly workMs: number;
  readonly controllers: number;
  readonly orchestrator: "none" | "kubernetes";
}

/** The faults of a round, in the order of their times. */
export function drawFaults(random: Random, { workMs, controllers, orchestrator }: FaultDraw): FaultStep[] {
  const controllerNames = Array.from({ length: controllers }, (_, index) => `controller-${index}`);
  const services = [...controllerNames, ...controllerNames, "node-a", "node-b", "node-c"];
  const one = (): FaultStep => {
    const at = random.int(workMs);
    const ms = 50 + random.int(2_000);
    switch (random.int(orchestrator === "kubernetes" ? 15 : 13)) {
      case 5:
        return { at, fault: "release" };
      case 6:
        return { at, fault: "switches", values: drawSwitches(random, 3) };
      case 7:
        return { at, fault: "reboot" };
      case 8:
        return { at, fault: "pool", ms };
      case 9:
        return { at, fault: "kill", process: random.pick([...services, "simulator"]), ms: random.int(800) };
      case 10:
        return { at, fault: "stop", process: random.pick([...services, "simulator"]), ms };
      case 11:
        return {
          at,
          fault: random.pick(["term", "kill"]),
          process: random.pick(services),
          ms: random.int(500),
        };
      case 12:
        return {
          at,
          fault: "clock",
          process: random.pick(services),
          seconds: random.pick([-7_200, -60, 5, 90, 3_700, 90_000]),
        };
      case 13:
      case 14:
        return { at, fault: "api", how: random.pick(["down", "hang", "slow", "500", "429", "drop"]), ms };
      default:
        return { at, fault: "rds", rule: drawRule(random) };
    }
  };
  const steps = Array.from({ length: 3 + random.int(14) }, one);
  for (const step of [...steps]) {
    // A line that hangs goes on after a while: late, and after its caller has given up.
    if (step.fault === "rds" && step.rule.kind.startsWith("hang"))
      steps.push({ at: step.at + 500 + random.int(4_000), fault: "release" });
  }
  return steps.sort((a, b) => a.at - b.at);
}
