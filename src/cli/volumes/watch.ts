import { type Input, loadVolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import type { ErrorId } from "../../domain/errors/catalogue.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import type { ClusterReader } from "../../kubernetes/port.ts";
import type { Rds } from "../../rds/rds.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import type { Transport } from "../../routeros/transport/transport.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { loggerFor } from "../logging.ts";
import { driftOf } from "./cluster-drift.ts";
import { openCluster, openRds, within, withKnownCluster } from "./connect.ts";
import { listedVolumes } from "./from-rds.ts";
import type { OutputFormat } from "./render.ts";
import { changeLine, changesBetween, frameLines, type Look, type Trouble } from "./watch-view.ts";

export interface WatchOptions {
  readonly output: Exclude<OutputFormat, "yaml">;
  /** Between two looks. */
  readonly intervalSeconds: number;
  /** Limit for one look, seconds. */
  readonly timeoutSeconds: number;
}

/** Rows of a terminal that does not say. */
const DEFAULT_ROWS = 24;

/**
 * `rds-csi volumes list --watch`: the list again and again, until the process is told to stop. One RouterOS command each time,
 * over one connection, and two lists of the Kubernetes API. Reads only.
 * @throws what makes the first look impossible for good, such as a key that is refused
 */
export async function runVolumesWatch(input: Input, options: WatchOptions, io: Io): Promise<number> {
  const loaded = await loadVolumesConfig(input);
  const logger = loggerFor(loaded, "volumes");
  const config = await withKnownCluster(loaded, logger, within(options.timeoutSeconds, io.stop));
  const { rds, transport } = openRds(config, logger, options.timeoutSeconds);
  const cluster = await openCluster(config, logger);
  const presenter =
    io.columns === undefined || options.output === "json" ? stream(options, io) : screen(options, io);
  try {
    let last: Look | undefined;
    while (!io.stop.aborted && io.outputClosed !== true) {
      last = await look({ rds, transport, reader: cluster?.reader }, last, options.timeoutSeconds, io.stop);
      if (io.stop.aborted) break;
      presenter.show(last);
      await systemClock.sleep(options.intervalSeconds * 1_000, io.stop).catch(() => {});
    }
    return ExitCode.ok;
  } finally {
    // First of all: what follows may be cut short by a second signal.
    presenter.end();
    await Promise.all([transport.close(), cluster?.close(0)]);
  }
}

interface Sources {
  readonly rds: Rds;
  readonly transport: Transport;
  readonly reader: ClusterReader | undefined;
}

/** Errors of the first look that may pass by themselves. */
const TRANSIENT: ReadonlySet<ErrorId> = new Set(["rdsUnreachable", "rdsBusy", "rdsSilent"]);

/** Looks once. A side that does not answer keeps what was known of it. */
async function look(
  { rds, transport, reader }: Sources,
  before: Look | undefined,
  seconds: number,
  stop: AbortSignal,
): Promise<Look> {
  const limit = limitOf(transport, seconds, stop);
  const { signal } = limit;
  const troubles: Trouble[] = [];
  const trouble = (side: Trouble["side"], error: unknown): void => {
    if (stop.aborted) return;
    if (!(error instanceof DriverError)) throw error;
    const since = before?.troubles.find((each) => each.side === side)?.since ?? systemClock.now();
    troubles.push({ side, since, reason: error.summary });
  };
  try {
    const found = await rds.list(signal);
    const now = systemClock.now();
    let drift = before?.drift ?? [];
    try {
      if (reader !== undefined) drift = await driftOf(reader, found.volumes, signal);
    } catch (error) {
      trouble("Kubernetes", error);
    }
    return { volumes: listedVolumes(found, now, drift), drift, readAt: now, now, troubles };
  } catch (error) {
    const transient = error instanceof DriverError && TRANSIENT.has(error.id);
    if (before === undefined && !transient && !stop.aborted) throw error;
    trouble("RDS", error);
    const { volumes, drift = [], readAt = 0 } = before ?? {};
    return { volumes, drift, readAt, now: systemClock.now(), troubles };
  } finally {
    limit.clear();
  }
}

interface Presenter {
  show(look: Look): void;
  end(): void;
}

/** A pipe, or JSON: one line for each change. */
function stream({ output }: WatchOptions, io: Io): Presenter {
  let before: Look | undefined;
  return {
    show: (after) => {
      for (const change of changesBetween(before, after))
        io.out(changeLine(change, after.now, output === "json"));
      before = after;
    },
    end: () => {},
  };
}

/** A terminal: each look is drawn over the last, so nothing flickers; the cursor is hidden meanwhile. */
function screen({ output }: WatchOptions, io: Io): Presenter {
  io.out("\u001b[?25l\u001b[?7l\u001b[2J");
  return {
    show: (after) => {
      const { columns = 80, rows = DEFAULT_ROWS, colour } = io;
      const lines = frameLines(after, { wide: output === "wide", columns, rows: rows - 1, colour });
      io.out(`\u001b[H${lines.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
    },
    end: () => io.out("\u001b[?7h\u001b[?25h"),
  };
}
