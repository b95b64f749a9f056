import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** Declares series of a registry. Each takes its name, its help text and its own settings. */
export function seriesOf(registry: Registry) {
  const registers = [registry];
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]): Gauge<L> =>
    new Gauge({ name, help, labelNames, registers });
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]): Counter<L> =>
    new Counter({ name, help, labelNames, registers });
  return {
    gauge,
    counter,
    /** A counter with one label. The series of all its values exist from the start, so that increase() sees the first event. */
    counterOf: <L extends string>(
      name: string,
      help: string,
      label: L,
      values: readonly string[],
    ): Counter<L> => {
      const made = counter(name, help, label);
      for (const value of values) made.inc({ [label]: value } as Record<L, string>, 0);
      return made;
    },
    /** A gauge that is read at each scrape. @param read undefined: there is no value, the last one stays */
    measured: (name: string, help: string, read: () => number | undefined): Gauge =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          const value = read();
          if (value !== undefined) this.set(value);
        },
      }),
    /** A gauge that is read at each scrape. @param read undefined: nothing is known, and there is no sample */
    known: (name: string, help: string, read: () => number | undefined): Gauge =>
      new Gauge({
        ...{ name, help, registers },
        collect() {
          const value = read();
          if (value === undefined) this.remove();
          else this.set(value);
        },
      }),
    /**
     * A gauge with one label, read at each scrape.
     * @param read each value of the label with its number; undefined: nothing is known, and there is no sample
     */
    knownBy: <L extends string>(
      name: string,
      help: string,
      label: L,
      read: () => Iterable<readonly [string, number]> | undefined,
    ): Gauge<L> =>
      new Gauge({
        ...{ name, help, labelNames: [label], registers },
        collect() {
          // A value that is gone has no sample.
          this.reset();
          for (const [value, count] of read() ?? []) this.set({ [label]: value } as Record<L, string>, count);
        },
      }),
    /** @param buckets upper bounds, in the unit of the name */
    histogram: <L extends string>(
      name: string,
      help: string,
      buckets: number[],
      ...labelNames: L[]
    ): Histogram<L> => new Histogram({ name, help, labelNames, buckets, registers }),
  };
}
