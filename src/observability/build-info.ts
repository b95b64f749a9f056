declare const RDS_CSI_VERSION: string | undefined;
declare const RDS_CSI_COMMIT: string | undefined;

/** What this program was built from; `scripts/build` puts the values in place. */
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
