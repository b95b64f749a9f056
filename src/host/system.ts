import { type Clock, systemClock } from "../domain/clock.ts";
import { type Logger, silentLogger } from "../observability/log.ts";
import { nodeNumber } from "./block-device.ts";
import { type Exec, exec } from "./exec.ts";
import { createHelper, type Helper } from "./helper.ts";
import { createHelperProcesses } from "./helper-processes.ts";

/** The machine for the node's code; tests replace parts. */
export interface NodeSystem {
  readonly exec: Exec;
  readonly helper: Helper;
  /** As `nodeNumber`. */
  readonly nodeNumber: (path: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `/sys` */
  readonly sysRoot: string;
  /** `/proc` */
  readonly procRoot: string;
}

/** This machine. */
export function createNodeSystem(overrides: Partial<NodeSystem> = {}): NodeSystem {
  const run = overrides.exec ?? exec;
  return {
    // Tests that take the place of programs answer for the helper as well.
    helper: createHelper(overrides.exec ?? createHelperProcesses()),
    nodeNumber,
    clock: systemClock,
    logger: silentLogger,
    sysRoot: "/sys",
    procRoot: "/proc",
    ...overrides,
    exec: run,
  };
}
