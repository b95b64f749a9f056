/** One query of a panel. */
export interface Query {
  readonly expr: string;
  /** Name of each series, with its labels as `{{label}}`. */
  readonly legend: string;
}

/** One panel. */
export interface Panel {
  readonly title: string;
  readonly kind: "stat" | "graph" | "bars";
  /** Of Grafana: `bytes`, `s`, `percentunit`, `short`, `ops`, … */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** For people: how to read it. */
  readonly description: string;
  /** The value from which it is red, for `stat`. */
  readonly bad?: number;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** Names of variables, each with the query of its values. */
  readonly variables: Readonly<Record<string, string>>;
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
}

/** @param legend of each series, with its labels as `{{label}}` */
export const q = (expr: string, legend = ""): Query => ({ expr, legend });
/** Lines over time. */
export const graph = (title: string, unit: string, description: string, ...queries: Query[]): Panel => ({
  ...{ title, kind: "graph", unit, description, queries },
});
/** The value now. @param bad from which it is red */
export const stat = (
  title: string,
  unit: string,
  description: string,
  expr: string,
  bad?: number,
): Panel => ({
  ...{ title, kind: "stat", unit, description, queries: [q(expr)] },
  ...(bad === undefined ? {} : { bad }),
});
/** Values now, a bar each. */
export const bars = (title: string, description: string, ...queries: Query[]): Panel => ({
  ...{ title, kind: "bars", unit: "short", description, queries },
});

/** Grafana fills it in: at least four scrapes. */
export const RATE = "$__rate_interval";
/** 95 of 100 are quicker. */
export const p95 = (metric: string, by: string, selector = ""): string =>
  `histogram_quantile(0.95, sum by (le, ${by}) (rate(${metric}_bucket${selector}[${RATE}])))`;

/** Columns of Grafana, and of a panel of each kind. */
const WIDTH = 24;
const SIZES = { stat: { w: 4, h: 4 }, graph: { w: 8, h: 8 }, bars: { w: 8, h: 8 } } as const;
const TYPES = { stat: "stat", graph: "timeseries", bars: "bargauge" } as const;
const SOURCE = { type: "prometheus", uid: "$datasource" };

/** A dashboard as Grafana reads it, from version 11 on. */
export function dashboardText({ uid, title, description, variables, rows }: Dashboard): string {
  const panels: object[] = [];
  let [x, y, below] = [0, 0, 0];
  const place = (w: number, h: number) => {
    if (x + w > WIDTH) [x, y] = [0, below];
    const gridPos = { h, w, x, y };
    x += w;
    below = Math.max(below, y + h);
    return gridPos;
  };
  for (const row of rows) {
    [x, y] = [0, below];
    panels.push({
      id: panels.length + 1,
      type: "row",
      title: row.title,
      collapsed: false,
      gridPos: place(WIDTH, 1),
      panels: [],
    });
    for (const panel of row.panels)
      panels.push({
        id: panels.length + 1,
        ...panelOf(panel),
        gridPos: place(SIZES[panel.kind].w, SIZES[panel.kind].h),
      });
  }
  const list = Object.entries(variables).map(([name, query]) => ({
    ...{ name, type: "query", datasource: SOURCE, query: { query, refId: name }, definition: query },
    ...{ refresh: 2, multi: true, includeAll: true, current: { text: ["All"], value: ["$__all"] } },
  }));
  const datasource = {
    name: "datasource",
    label: "Data source",
    type: "datasource",
    query: "prometheus",
    current: {},
  };
  const dashboard = {
    ...{
      uid,
      title,
      description,
      tags: ["rds-csi", "storage"],
      timezone: "browser",
      schemaVersion: 39,
      editable: true,
    },
    ...{
      time: { from: "now-6h", to: "now" },
      refresh: "1m",
      templating: { list: [datasource, ...list] },
      panels,
    },
  };
  return `${JSON.stringify(dashboard, undefined, 2)}\n`;
}

function panelOf({ title, kind, unit, description, queries, bad }: Panel): object {
  const steps = [
    { color: "green", value: null },
    ...(bad === undefined ? [] : [{ color: "red", value: bad }]),
  ];
  return {
    ...{ type: TYPES[kind], title, description, datasource: SOURCE },
    targets: queries.map(({ expr, legend }, at) => ({
      ...{ refId: String.fromCharCode(65 + at), datasource: SOURCE, expr, legendFormat: legend || "__auto" },
      ...(kind === "graph" ? { range: true } : { instant: true }),
    })),
    fieldConfig: { defaults: { unit, min: 0, thresholds: { mode: "absolute", steps } }, overrides: [] },
  };
}
