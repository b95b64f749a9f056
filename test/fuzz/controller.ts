import { reportError } from "../../src/cli/report-error.ts";
import { AttachmentService } from "../../src/controller/attachments.ts";
import { CopyService } from "../../src/controller/copies.ts";
import { noOrchestrator } from "../../src/controller/evidence.ts";
import { ExpansionService } from "../../src/controller/expansion.ts";
import { createMigrationMetrics } from "../../src/controller/migration-metrics.ts";
import { MigrationReporter } from "../../src/controller/migration-reporter.ts";
import { ModifyService } from "../../src/controller/modify.ts";
import { VolumeService } from "../../src/controller/volumes.ts";
import { statusOf } from "../../src/csi/status.ts";
import { type Clock, systemClock } from "../../src/domain/clock.ts";
import { isPrintable } from "../../src/domain/printable.ts";
import { truncated } from "../../src/kubernetes/event-object.ts";
import { staticNodes } from "../../src/kubernetes/node-registry.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { Rds } from "../../src/rds/rds.ts";
import { RouterOsClient } from "../../src/routeros/client.ts";
import type { ReplyForm } from "../../src/routeros/reply/form.ts";
import type { Transport } from "../../src/routeros/transport/transport.ts";
import { LAYOUT } from "../support/rds-stack.ts";

/** Findings, each once, with what led to it. */
export class Findings {
  readonly #kinds = new Map<string, string>();
  readonly ends = new Map<string, number>();

  add(kind: string, detail: string): void {
    if (!this.#kinds.has(kind)) this.#kinds.set(kind, detail.slice(0, 1_000));
  }

  list(): readonly string[] {
    return [...this.#kinds].map(([kind, detail]) => `${kind}: ${detail}`);
  }

  count(end: string): void {
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
  }

  /** Something that is printed or sent. Line feeds are allowed where a text has lines. */
  shown(what: string, text: string, lines = false): void {
    if (!isPrintable(lines ? text.replaceAll("\n", "") : text))
      this.add(`${what} has active characters`, JSON.stringify(text));
  }

  /** How an operation failed. */
  failed(what: string, error: unknown): void {
    const id = (error as { id?: string }).id ?? "none";
    this.count(id);
    if (id === "none" || id === "internal")
      this.add(
        `${what} has a defect`,
        error instanceof Error ? (error.stack ?? error.message) : String(error),
      );
    this.shown(`${what}, gRPC message`, statusOf(error).message);
    this.shown(`${what}, standard error`, reportError(error, true).text, true);
  }
}

export function loggerInto(findings: Findings) {
  const sink = (line: string) => findings.shown("a log line", line);
  return createLogger({ level: "debug", format: "text", sink });
}

/** A controller without Kubernetes in front of a transport. @param forms reply forms to use; default: the driver's */
export function controllerOf(
  transport: Transport,
  findings: Findings,
  clock: Clock = systemClock,
  forms?: readonly ReplyForm[],
) {
  const logger = loggerInto(findings);
  const rds = new Rds({
    ...{
      client: new RouterOsClient(transport, undefined, forms),
      clock,
      logger,
      clusterId: "test",
      nvmePort: 4_420,
    },
    ...{ nqnPrefix: "nqn.2000-02.com.mikrotik", fencing: "epoch+hosts" as const },
  });
  transport.onReconnect(() => rds.forgetVersion());
  const { registry } = createMetrics({ version: "0", commit: "0" });
  const posted = (message: string) => findings.shown("an event", truncated(message));
  const reporter = new MigrationReporter({
    ...{ metrics: createMigrationMetrics(registry, () => undefined, clock), logger, clock, instance: "fuzz" },
    events: { post: ({ message }) => posted(message), postForVolume: (_, { message }) => posted(message) },
    outcome: async () => undefined,
    fencing: "epoch+hosts",
  });
  const clusterId = "test";
  const copies = new CopyService({ rds, clock, logger, events: undefined });
  return {
    rds,
    volumes: new VolumeService({ rds, clock, copies, layout: LAYOUT, reserveBytes: 0n, clusterId }),
    expansions: new ExpansionService({
      ...{ rds, reporter, logger, clock },
      reserveBytes: 0n,
      online: "re-export",
    }),
    modifications: new ModifyService({ rds, reporter, logger }),
    attachments: new AttachmentService({
      ...{
        rds,
        nodes: staticNodes(["node-a", "node-b"]),
        evidence: noOrchestrator,
        reporter,
        logger,
        clock,
        clusterId,
      },
      ...{ nvmeAddress: "127.0.0.1", maxVolumesPerNode: 0 },
    }),
  };
}
