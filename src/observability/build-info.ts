import process from "node:process";

declare const RDS_CSI_VERSION: string | undefined;
declare const RDS_CSI_COMMIT: string | undefined;

/** The source of this program; `scripts/build` puts the values in place. */
export interface BuildInfo {
  /** Semantic version without a leading `v`; `0.0.0-dev` when run from source. */
  readonly version: string;
  /** Git commit, or `unknown`. */
  readonly commit: string;
}

export const buildInfo: BuildInfo = {
  version: typeof RDS_CSI_VERSION === "string" ? RDS_CSI_VERSION : "0.0.0-dev",
  commit: typeof RDS_CSI_COMMIT === "string" ? RDS_CSI_COMMIT : "unknown",
};

/** The output of `rds-csi version`. */
export function versionText(output: "text" | "json"): string {
  const bun = process.versions.bun;
  const runtime = bun === undefined ? `node ${process.versions.node}` : `bun ${bun}`;
  const platform = `${process.platform}/${process.arch}`;
  if (output === "json") return `${JSON.stringify({ ...buildInfo, runtime, platform })}\n`;
  return `rds-csi ${buildInfo.version} (commit ${buildInfo.commit}, ${runtime}, ${platform})\n`;
}
