import type { Input } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import type { ErrorId } from "../../domain/errors/catalogue.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { isUnanswered, type Unknown } from "../../inspect/fact.ts";
import type { ClusterLists } from "../../inspect/world.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { limitsOf, readWorld, type Sides, withSides } from "./connect.ts";
import { listedVolumes } from "./listed.ts";
import type { OutputFormat } from "./render.ts";
import { ALL, type Choice, selects } from "./select.ts";
import { changeLine, changesBetween, frameLines, type Look, type Trouble } from "./watch-view.ts";

export interface WatchOptions extends Choice {
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
  const { timeoutSeconds, intervalSeconds, output } = options;
  return withSides(input, { timeoutSeconds, strict: true }, io, async (sides) => {
    const presenter =
      io.columns === undefined || output === "json" ? stream(options, io) : screen(options, io);
    try {
      let last: Seen | undefined;
      while (!io.stop.aborted && io.outputClosed !== true) {
        last = await look(sides, last, timeoutSeconds, io.stop).catch((error) => {
          if (!io.stop.aborted) throw error;
          return undefined;
        });
        if (last === undefined) break;
        presenter.show(last);
        await systemClock.sleep(intervalSeconds * 1_000, io.stop).catch(() => {});
      }
      return ExitCode.ok;
    } finally {
      // Before the sides are closed, which a second signal may cut short.
      presenter.end();
    }
  });
}

/** A look, and the lists of the cluster as last read. */
interface Seen extends Look {
  readonly lists?: ClusterLists | undefined;
}

/** Errors of the first look that may pass by themselves. */
const TRANSIENT: ReadonlySet<ErrorId> = new Set([
  "rdsUnreachable",
  "rdsBusy",
  "rdsQueueSlow",
  "rdsSilent",
  "rdsOutcomeUnknown",
]);

/** Looks once. A side that does not answer keeps its last known lists. */
async function look(
  sides: Sides,
  before: Seen | undefined,
  seconds: number,
  stop: AbortSignal,
): Promise<Seen> {
  const limits = limitsOf(sides, seconds, stop);
  const world = await readWorld(sides, limits).finally(limits.clear);
  const { now, survey } = world;
  const unanswered = Object.values(world.cluster).find(isUnanswered);
  const troubles = [trouble("RDS", survey), trouble("Kubernetes", unanswered)].flat();
  if (survey.state !== "unknown") {
    const lists = unanswered === undefined ? world.cluster : (before?.lists ?? world.cluster);
    return { volumes: listedVolumes({ ...world, cluster: lists }), lists, readAt: now, now, troubles };
  }
  const { error } = survey;
  const transient = error instanceof DriverError && TRANSIENT.has(error.id);
  if (before === undefined && !transient && !stop.aborted) throw error;
  const { volumes, lists, readAt = 0 } = before ?? {};
  return { volumes, lists, readAt, now, troubles };

  function trouble(side: Trouble["side"], fact: { readonly state: string } | undefined): Trouble[] {
    if (fact?.state !== "unknown") return [];
    const since = before?.troubles.find((each) => each.side === side)?.since ?? now;
    return [{ side, since, reason: (fact as Unknown).reason }];
  }
}

interface Presenter {
  show(look: Look): void;
  end(): void;
}

/** A pipe, or JSON: one line for each change. */
function stream({ output, selection = ALL }: WatchOptions, io: Io): Presenter {
  let before: Look | undefined;
  const fits = selects(selection);
  return {
    show: (after) => {
      for (const change of changesBetween(before, after, fits))
        io.out(changeLine(change, after.now, output === "json"));
      before = after;
    },
    end: () => {},
  };
}

/** A terminal: each look is drawn over the last, so nothing flickers; the cursor is hidden meanwhile. */
function screen({ output, selection = ALL, sort }: WatchOptions, io: Io): Presenter {
  io.out("\u001b[?25l\u001b[?7l\u001b[2J");
  return {
    show: (after) => {
      const { columns = 80, rows = DEFAULT_ROWS, colour } = io;
      const wide = output === "wide";
      const lines = frameLines(after, { wide, columns, rows: rows - 1, colour, selection, sort });
      io.out(`\u001b[H${lines.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
    },
    end: () => io.out("\u001b[?7h\u001b[?25h"),
  };
}
