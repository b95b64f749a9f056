import { type Dashboard, dashboardText } from "./grafana.ts";
import { NODE } from "./node.ts";
import { OVERVIEW } from "./overview.ts";

/** The dashboards by their names. */
export const DASHBOARDS: Readonly<Record<string, Dashboard>> = { overview: OVERVIEW, node: NODE };

/** The files of the component `dashboards`, by name. */
export function dashboardFiles(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(DASHBOARDS).map(([name, dashboard]) => [`${name}.json`, dashboardText(dashboard)]),
  );
}
