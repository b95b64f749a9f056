import type { VolumesConfig } from "../../config/load.ts";
import { type Clock, systemClock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { Kubernetes } from "../../kubernetes/create.ts";
import type { AttachmentView, PersistentVolumeView } from "../../kubernetes/port.ts";
import type { Rds } from "../../rds/rds.ts";
import type { ForeignDisk } from "../../rds/volume.ts";
import type { AdoptionFacts } from "../../records/adopt.ts";
import { readCopy } from "./record.ts";

/** A list is used for the volumes that are written within this time, milliseconds. */
const LIST_AGE_MS = 1_000;

/** The lists from which the facts of each volume are taken. */
export interface AdoptionSources {
  readonly config: VolumesConfig & { readonly clusterId: string };
  readonly cluster: Kubernetes;
  readonly rds: Pick<Rds, "earlier">;
  /** The PersistentVolumes of the driver, read a moment ago. */
  readonly pvs: Recent<PersistentVolumeView>;
  /** The VolumeAttachments of the driver, read a moment ago. */
  readonly attachments: Recent<AttachmentView>;
}

type Recent<T> = (signal: AbortSignal) => Promise<readonly T[]>;

/** A list that is read anew once it is a second old. */
export function recent<T>(read: Recent<T>, clock: Pick<Clock, "monotonic"> = systemClock): Recent<T> {
  let last: { readonly at: number; readonly list: readonly T[] } | undefined;
  return async (signal) => {
    if (last === undefined || clock.monotonic() - last.at >= LIST_AGE_MS) {
      const at = clock.monotonic();
      last = { at, list: await read(signal) };
    }
    return last.list;
  };
}

/** What is known of a volume now. @throws as the reader: what is not known is not left out, a record depends on it */
export async function adoptionFacts(
  { config, cluster, rds, pvs: all, attachments }: AdoptionSources,
  { id: handle, disk }: Pick<ForeignDisk, "id" | "disk">,
  signal: AbortSignal,
): Promise<AdoptionFacts> {
  const { clusterId, nqnPrefix } = config;
  const pvs = (await all(signal)).filter((pv) => pv.handle === handle);
  const names = new Set(pvs.map(({ name }) => name));
  const claims = pvs.flatMap(({ claim }) => claim ?? []);
  const pods = await Promise.all(claims.map((claim) => cluster.reader.podsUsingClaim(claim, signal)));
  const listed = await attachments(signal);
  return {
    handle,
    disk,
    clusterId,
    nqnPrefix,
    now: Math.floor(systemClock.now() / 1_000),
    copy: await readCopy(cluster, config, handle, signal),
    pvs,
    attachments: listed.filter(({ pvName }) => pvName !== undefined && names.has(pvName)),
    pods: pods.flat(),
    twins: await rds.earlier.twins(handle, signal, disk.nqn),
  };
}

/** The id of this installation. @throws clusterIdUnknown */
export function requireClusterId(clusterId: string | undefined): string {
  if (clusterId === undefined) throw failure("clusterIdUnknown", { reason: "nothing names it" });
  return clusterId;
}
