import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { Counter, type Registry } from "prom-client";
import { seriesOf } from "./series.ts";

/**
 * Registers the `process_*` series of the Prometheus conventions, read at scrape time. prom-client's own set is left
 * out: in Bun a scrape of it takes 20 ms and its event-loop histogram costs 1 % of a core.
 */
export function registerProcessMetrics(registry: Registry): void {
  const { gauge, measured } = seriesOf(registry);
  let counted = 0;
  new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time in seconds.",
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      const total = (user + system) / 1e6;
      this.inc(Math.max(0, total - counted));
      counted = Math.max(counted, total);
    },
  });
  measured("process_resident_memory_bytes", "Resident memory in bytes.", () => process.memoryUsage.rss());
  measured("process_open_fds", "Open file descriptors.", () =>
    read(() => readdirSync("/proc/self/fd").length),
  );
  measured("process_max_fds", "Limit of open file descriptors.", () => {
    const limits = read(() => readFileSync("/proc/self/limits", "utf8")) ?? "";
    const limit = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return limit === undefined ? undefined : Number(limit);
  });
  gauge("process_start_time_seconds", "Start of the process in seconds since the Unix epoch.").set(
    Math.round(Date.now() / 1_000 - process.uptime()),
  );
}

/** undefined where there is no /proc. */
function read<T>(source: () => T): T | undefined {
  try {
    return source();
  } catch {
    return undefined;
  }
}
