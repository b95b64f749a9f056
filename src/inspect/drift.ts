import { withoutStop } from "../domain/sentence.ts";
import { type Aspect, type DriftId, driftCatalogue, type Severity } from "./catalogue.ts";

/** Something on which what is known about a volume disagrees. */
export interface VolumeDrift {
  /** Stable; a key of the catalogue. */
  readonly id: DriftId;
  readonly severity: Severity;
  readonly about: Aspect;
  /** What is wrong with this volume, one sentence without a full stop. */
  readonly text: string;
  /** What the RDS says; undefined when it is not a matter of the RDS. */
  readonly rds: string | undefined;
  /** What the cluster says; undefined when it is not a matter of the cluster. */
  readonly kubernetes: string | undefined;
  /** The node that it is about, if it is about one. */
  readonly node: string | undefined;
  readonly remedy: string;
}

/** What a check found. */
export interface Finding {
  readonly text: string;
  readonly rds?: string | undefined;
  readonly kubernetes?: string | undefined;
  readonly node?: string | undefined;
}

/** A drift of the catalogue. */
export function drift(id: DriftId, { text, rds, kubernetes, node }: Finding): VolumeDrift {
  const { severity, about, remedy } = driftCatalogue[id];
  return { id, severity, about, text: withoutStop(text), rds, kubernetes, node, remedy };
}

const UNITS = ["", "Ki", "Mi", "Gi", "Ti", "Pi"] as const;

/** Bytes without rounding: `10Gi`, `1536Mi`, else the number of bytes. */
export function exactSize(bytes: bigint): string {
  let unit = 0;
  while (unit < UNITS.length - 1 && bytes > 0n && bytes % (1n << BigInt(10 * (unit + 1))) === 0n) unit += 1;
  return unit === 0 ? `${bytes} bytes` : `${bytes >> BigInt(10 * unit)}${UNITS[unit]}`;
}
