export const SEVERITIES = ["info", "warning", "error", "critical"] as const;

/**
 * How bad a finding is. `critical`: data is at risk, or volumes cannot be used; `error`: something does not work; `warning`: a
 * person should look; `info`: it passes by itself.
 */
export type Severity = (typeof SEVERITIES)[number];

/** The line of `volumes show` that a finding marks. */
export type Aspect =
  | "name"
  | "claim"
  | "size"
  | "file"
  | "pool"
  | "mode"
  | "export"
  | "nqn"
  | "hosts"
  | "nodes"
  | "pods"
  | "migration";

/** One kind of finding. Its id is stable: alerts and runbooks refer to it. */
export interface FindingEntry {
  readonly severity: Severity;
  /** One line, without a full stop. */
  readonly title: string;
  /** The consequence, or how it was found out; "" where the title says it. */
  readonly meaning: string;
  /** What a person does about it: the exact command where one exists. Words of `REMEDY_WORDS` stand for names. */
  readonly remedy: string;
  /** Ids of findings that this one explains: of the same volume, or of all volumes if it concerns no single one. */
  readonly explains: readonly string[];
  /** Of findings about a volume. */
  readonly about?: Aspect;
}

/** Names in remedies; each is replaced by the name in question where that is known. */
export const REMEDY_WORDS = [
  "HANDLE",
  "PV",
  "NAMESPACE",
  "CLAIM",
  "NODE",
  "POD",
  "VM",
  "POOL",
  "FILE",
] as const;
export type RemedyNames = Partial<Readonly<Record<(typeof REMEDY_WORDS)[number], string | undefined>>>;

/** Characters that need no quotes in a shell or on RouterOS. */
const PLAIN = /^[\w.:/-]+$/;

/** A remedy with the names that are known. */
export function remedyFor({ remedy }: Pick<FindingEntry, "remedy">, names: RemedyNames): string {
  return remedy.replaceAll(new RegExp(`\\b(?:${REMEDY_WORDS.join("|")})\\b`, "g"), (word) => {
    const name = names[word as keyof RemedyNames];
    return name !== undefined && PLAIN.test(name) ? name : word;
  });
}

/** Findings that follow when the connection of a volume does not work. */
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

/**
 * Declares a finding. @param about only for a finding about a volume
 * @returns takes the title and, as further sentences, the meaning; the remedy; the ids that the finding explains
 */
export function finding(severity: Severity, about?: Aspect) {
  return (text: string, remedy: string, explains: readonly string[] = []): FindingEntry => {
    const [title = "", ...meaning] = text.split(". ");
    return { severity, title, meaning: meaning.join(". "), remedy, explains, ...(about && { about }) };
  };
}

export const LOG = "`kubectl -n rds-csi logs -l app.kubernetes.io/component=controller -c driver --tail=-1`";

export const RESTART =
  "Restart the workload, so that the volume is detached and attached anew: `kubectl -n NAMESPACE delete pod POD`, or `virtctl -n NAMESPACE restart VM`.";

export const STOP =
  "Stop the workload (a virtual machine: `virtctl -n NAMESPACE stop VM`; else scale it to 0)";
