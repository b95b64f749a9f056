import { join } from "node:path";
import { CLUSTER_UID } from "../../../test/support/kubernetes/fake-api-server.ts";
import { startWorld, type World } from "../../../test/support/kubernetes/world.ts";
import { createVolume, type Wish } from "../../../test/support/own-stack.ts";
import { type Stack, type StackOptions, startStack } from "../../../test/support/rds-stack.ts";
import { systemClock } from "../../domain/clock.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { testIo } from "../cli.fixture.ts";
import { main } from "../main.ts";

/** An item of the list, as JSON has it. */
export interface ShownOrphan {
  readonly kind: string;
  readonly name: string;
  readonly path: string;
  readonly pool: string | null;
  readonly sizeBytes: number | null;
  readonly since: string | null;
  readonly deletable: string;
  readonly why: string;
  readonly reason: string;
  readonly action?: string;
  readonly outcome?: string | null;
}

/** A RDS and a cluster, on which everything that is made is ten days old until `now` is called. */
export interface OrphanStand {
  readonly stack: Stack;
  readonly world: World;
  volume(name: string, wish?: Wish): Promise<VolumeId>;
  /** From now on it is today. */
  now(): void;
  /** Runs the program. @param args behind `volumes orphans` */
  run(args?: readonly string[], options?: RunOptions): Promise<{ code: number; out: string; err: string }>;
  /** The list as JSON. */
  list(args?: readonly string[]): Promise<ShownOrphan[]>;
  close(): Promise<void>;
}

interface RunOptions {
  /** Default: true. */
  readonly cluster?: boolean;
  readonly clusterId?: string;
  readonly columns?: number;
  readonly driver?: string;
  /** Called with each text that the command writes. */
  readonly onOut?: (text: string) => void;
}

export const DAYS_OLD = 10;

export async function startOrphanStand(options: StackOptions = {}): Promise<OrphanStand> {
  // An hour more, so that no age is rounded down to a day less.
  let shift = -DAYS_OLD * 86_400_000 - 3_600_000;
  const clock = { ...systemClock, now: () => Date.now() + shift };
  const stack = await startStack({ clusterId: CLUSTER_UID, clock, simulatorClock: clock, ...options });
  const world = await startWorld();
  const kubeconfig = await world.api.writeKubeconfig(join(world.dir, "admin"));
  const { host, port, hostKeyFingerprints } = stack.simulator;
  const run: OrphanStand["run"] = async (args = [], given = {}) => {
    const { cluster = true, clusterId, columns, driver, onOut } = given;
    let written = "";
    const io = testIo({
      columns,
      out: (text) => {
        written += text;
        onOut?.(text);
      },
    });
    const flags = [
      ...["--rds-address", `${host}:${port}`, "--rds-key-file", stack.keyFile],
      ...hostKeyFingerprints.flatMap((pin) => ["--rds-host-key", pin]),
      ...(cluster ? ["--orchestrator", "kubernetes", "--kubeconfig", kubeconfig] : []),
      ...(clusterId === undefined ? [] : ["--cluster-id", clusterId]),
      ...(driver === undefined ? [] : ["--driver-name", driver]),
    ];
    const code = await main(["volumes", "orphans", ...args, ...flags], io);
    return { code, out: written, err: io.written.err };
  };
  return {
    stack,
    world,
    run,
    volume: async (name, wish = {}) => (await createVolume(stack, { name, ...wish })).id,
    now: () => {
      shift = 0;
    },
    list: async (args = []) => {
      const { code, out, err } = await run([...args, "-o", "json"]);
      if (code !== 0) throw new Error(`${code}: ${err}`);
      return JSON.parse(out).items;
    },
    close: async () => {
      await world.stop();
      await stack.close();
    },
  };
}
