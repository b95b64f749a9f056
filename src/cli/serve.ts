import type { serviceOptions } from "../config/common-options.ts";
import type { NodeConfig } from "../config/load.ts";
import type { BoundService } from "../csi/bridge.ts";
import { identityService } from "../csi/identity.ts";
import { standardInterceptors } from "../csi/interceptors/standard.ts";
import { createReadyGate } from "../csi/ready.ts";
import { startServer } from "../csi/server.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import { buildInfo } from "../observability/build-info.ts";
import { startHttp } from "../observability/http.ts";
import type { Logger } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { aborted } from "./io.ts";

/** A CSI component that is ready to be served. */
export interface Component {
  readonly services: readonly BoundService[];
  /** Reasons against readiness besides starting and stopping; for `/readyz`. */
  notReadyReasons(): readonly string[];
  /**
   * Called once, when the first call can be served.
   * @param notReadyReasons the reasons that `/readyz` shows: empty while the component is ready
   */
  opened?(notReadyReasons: () => readonly string[]): void;
  /** Releases what the component holds; called after the last call has ended. */
  close(): Promise<void>;
}

export interface ServeOptions {
  readonly config: Pick<NodeConfig, keyof typeof serviceOptions | "logLevel">;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Serve until this is aborted. */
  readonly stop: AbortSignal;
}

/**
 * Serves a component until `stop` is aborted, then drains: no new calls, running ones get `shutdownTimeoutSeconds`.
 * @throws the errors of listenError when a socket or port cannot be had
 */
export async function serve(component: Component, options: ServeOptions): Promise<void> {
  const { config, metrics, logger, stop, clock = systemClock } = options;
  const ready = createReadyGate();
  const notReadyReasons = () => (ready.isReady() ? component.notReadyReasons() : ["starting or stopping"]);
  const closers: (() => Promise<void>)[] = [() => component.close()];
  try {
    if (config.metricsAddress !== "") {
      const http = await startHttp({
        address: config.metricsAddress,
        metrics,
        isHealthy: () => true,
        notReadyReasons,
        logger,
      });
      closers.unshift(() => http.close());
      logger.info("serving metrics", { address: http.address });
    }
    const identity = identityService({
      name: config.driverName,
      vendorVersion: buildInfo.version,
      manifest: { commit: buildInfo.commit },
      isReady: () => ready.isReady(),
    });
    const server = await startServer({
      endpoint: config.endpoint,
      services: [identity, ...component.services],
      interceptors: standardInterceptors({ clock, metrics, logRequests: config.logLevel === "debug" }),
      clock,
      logger,
      drainMs: config.shutdownTimeoutSeconds * 1000,
    });
    closers.unshift(() => server.close());
    ready.open();
    component.opened?.(notReadyReasons);
    await aborted(stop);
    logger.info("stopping", {
      reason: stop.reason instanceof Error ? stop.reason.message : String(stop.reason),
    });
    ready.close();
  } finally {
    for (const close of closers) await close();
  }
}
