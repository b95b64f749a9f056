import process from "node:process";
import { buildInfo } from "../observability/build-info.ts";

/** What `rds-csi version` prints. */
export function versionText(output: "text" | "json"): string {
  const bun = process.versions.bun;
  const runtime = bun === undefined ? `node ${process.versions.node}` : `bun ${bun}`;
  const platform = `${process.platform}/${process.arch}`;
  if (output === "json") return `${JSON.stringify({ ...buildInfo, runtime, platform })}\n`;
  return `rds-csi ${buildInfo.version} (commit ${buildInfo.commit}, ${runtime}, ${platform})\n`;
}
