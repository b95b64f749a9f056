import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { Counter, Gauge, type Registry } from "prom-client";

/**
 * Registers the `process_*` series of the Prometheus conventions, read at scrape time. prom-client's own set is left
 * out: in Bun a scrape of it takes 20 ms and its event-loop histogram costs 1 % of a core.
 */
export function registerProcessMetrics(registry: Registry): void {
  const registers = [registry];
  let counted = 0;
  new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time in seconds.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      const total = (user + system) / 1e6;
      this.inc(Math.max(0, total - counted));
      counted = Math.max(counted, total);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory in bytes.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: "process_open_fds",
    help: "Open file descriptors.",
    registers,
    collect() {
      const open = read(() => readdirSync("/proc/self/fd").length);
      if (open !== undefined) this.set(open);
    },
  });
  new Gauge({
    name: "process_max_fds",
    help: "Limit of open file descriptors.",
    registers,
    collect() {
      const limit = read(
        () => /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1],
      );
      if (limit !== undefined) this.set(Number(limit));
    },
  });
  new Gauge({
    name: "process_start_time_seconds",
    help: "Start of the process in seconds since the Unix epoch.",
    registers,
  }).set(Math.round(Date.now() / 1_000 - process.uptime()));
}

/** undefined where there is no /proc. */
function read<T>(source: () => T): T | undefined {
  try {
    return source();
  } catch {
    return undefined;
  }
}
