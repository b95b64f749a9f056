import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { readIfPresent } from "../host/files.ts";

/** A path that kubelet gave to this driver for one volume, by kubelet's own record beside it. */
export interface KubeletPath {
  readonly role: "staging" | "publish";
  /** As kubelet wrote it; not necessarily a handle that a volume of ours can have. */
  readonly handle: string;
  /** UID of the pod that the path is for; undefined for a staging path. */
  readonly pod?: string | undefined;
  /** Name of the PersistentVolume; undefined for the staging path of a filesystem. */
  readonly persistentVolume?: string | undefined;
}

const STAGING = /^(.+\/kubernetes\.io\/csi\/([^/]+)\/([0-9a-f]{64}))\/globalmount$/;
const PUBLISH = /^((?:.+\/pods\/([^/]+)\/volumes|.+)\/kubernetes\.io~csi\/([^/]+))\/mount$/;
const BLOCK = /^(.+\/kubernetes\.io\/csi\/volumeDevices)\/(staging|publish)\/([^/]+)(?:\/([^/]+))?$/;
/** Largest record in bytes; kubelet writes six short texts. */
const MAX_RECORD = 16 * 1024;

/**
 * The volume and the pod for which kubelet keeps a path, by its record `vol_data.json`; undefined if there is no record, or if
 * it names another driver. A staging directory also has to carry the SHA-256 of the handle. The record lies on the node's own
 * disk, so reading it does not depend on the volume.
 * Source: Kubernetes, pkg/volume/csi: csi_attacher.go (makeDeviceMountPath), csi_mounter.go, csi_block.go.
 * @param path canonical
 * @throws nodeStateUnknown
 */
export async function kubeletPathOf(path: string, driverName: string): Promise<KubeletPath | undefined> {
  const staging = STAGING.exec(path);
  if (staging !== null) {
    const [, directory = "", driver, hash] = staging;
    const handle = driver === driverName ? await handleIn(directory, driverName) : undefined;
    const proven = handle !== undefined && createHash("sha256").update(handle).digest("hex") === hash;
    return proven ? { role: "staging", handle } : undefined;
  }
  const [, directory, pod, persistentVolume] = PUBLISH.exec(path) ?? [];
  if (directory !== undefined) {
    const handle = await handleIn(directory, driverName);
    return handle === undefined ? undefined : { role: "publish", handle, pod, persistentVolume };
  }
  const [, devices, kind, volume, blockPod] = BLOCK.exec(path) ?? [];
  const handle = devices === undefined ? undefined : await handleIn(`${devices}/${volume}/data`, driverName);
  if (handle === undefined) return undefined;
  const role = kind === "staging" ? "staging" : "publish";
  return { role, handle, persistentVolume: volume, ...(role === "publish" ? { pod: blockPod } : {}) };
}

async function handleIn(directory: string, driverName: string): Promise<string | undefined> {
  const path = `${directory}/vol_data.json`;
  const text = await readIfPresent(path, () => readFile(path, "utf8"));
  if (text === undefined || text.length > MAX_RECORD) return undefined;
  try {
    const record = JSON.parse(text) as { driverName?: unknown; volumeHandle?: unknown } | null;
    const { driverName: driver, volumeHandle: handle } = record ?? {};
    return driver === driverName && typeof handle === "string" && handle !== "" ? handle : undefined;
  } catch {
    // A record that was cut off by a crash proves nothing.
    return undefined;
  }
}
