export const SEVERITIES = ["info", "warning", "error", "critical"] as const;

/**
 * How bad a finding is. `critical`: volumes cannot be used or data is at risk; `error`: something does not work;
 * `warning`: it will, or might; `info`: worth knowing.
 */
export type Severity = (typeof SEVERITIES)[number];

/** One kind of finding. Its id is stable: alerts and runbooks refer to it. */
export interface FindingEntry {
  readonly severity: Severity;
  /** One line, without a full stop. */
  readonly title: string;
  /** What it means and how it was found out, for the documents. */
  readonly meaning: string;
  /** What a person does about it. */
  readonly remedy: string;
  /** Ids of findings that this one explains: of the same volume, or of all volumes if it concerns the node. */
  readonly explains: readonly string[];
}

/** Declares an entry. */
export function entry(
  severity: Severity,
  title: string,
  meaning: string,
  remedy: string,
  explains: readonly string[] = [],
): FindingEntry {
  return { severity, title, meaning, remedy, explains };
}

/** What follows when a volume's connection does not work. */
export const IO_STOPS = [
  "target-refuses-connection",
  "connection-not-live",
  "connection-no-namespace",
  "volume-not-connected",
  "connection-gives-up-soon",
  "mount-device-vanished",
  "filesystem-read-only",
  "filesystem-errors",
  "mount-not-answering",
  "io-waits",
  "hung-tasks",
  "nvme-kernel-errors",
] as const;
