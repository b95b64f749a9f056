import { volumeCatalogue } from "../../inspect/catalogue.ts";
import type { FindingEntry } from "../../inspect/entry.ts";
import { machineFindings } from "./machine.ts";
import { storageFindings } from "./storage.ts";
import { volumeFindings } from "./volume.ts";

const entries = { ...machineFindings, ...storageFindings, ...volumeCatalogue, ...volumeFindings };

/** Stable id of a finding. */
export type FindingId = keyof typeof entries;

/** Every finding that `rds-csi diagnose` can report, causes before their consequences. */
export const findingCatalogue: Readonly<Record<FindingId, FindingEntry>> = entries;

export const FINDING_IDS = Object.keys(entries) as readonly FindingId[];
