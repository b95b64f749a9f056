/** What serves metrics. */
export type Mode = "controller" | "node";

/** One row of docs/metrics.md. */
export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  /** Sorted. */
  readonly labels: string[];
  /** Upper bounds of a histogram, joined by spaces; empty otherwise. */
  readonly buckets: string;
  readonly meaning: string;
  readonly modes: readonly Mode[];
}

/** The rows of the page's tables; a section says whose they are, both modes unless it does. */
export function documentedMetrics(page: string): DocumentedMetric[] {
  return page.split(/^## /m).flatMap((section) => {
    const only = /^Of the (controller|node) only/m.exec(section)?.[1] as Mode | undefined;
    const modes: readonly Mode[] = only === undefined ? ["controller", "node"] : [only];
    return section
      .split("\n")
      .map((line) => /^\| `([a-z_]+)` \| (\w+) \|(.*?)\| (.+) \|$/.exec(line))
      .filter((found) => found !== null)
      .map(([, name = "", type = "", labels = "", meaning = ""]) => ({
        name,
        type,
        labels: [...labels.matchAll(/`(\w+)`/g)].map((found) => found[1] ?? "").sort(),
        buckets: /Buckets: ([\d. ]+\d)/.exec(meaning)?.[1] ?? "",
        meaning,
        modes,
      }));
  });
}
