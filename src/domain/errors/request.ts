import { entry, type List } from "./entry.ts";

/** An address that a program cannot listen on; `option` is without `--`, `reason` without a full stop. */
interface Listening {
  readonly option: string;
  readonly address: string;
  readonly reason: string;
}

const notListening = (p: Listening): string =>
  `--${p.option}: the program cannot listen on ${p.address}: ${p.reason}`;

/** Failures of the request itself: the caller must change the request. */
export const requestErrors = {
  fieldMissing: entry.INVALID_ARGUMENT<{ field: string }>(
    (p) => `${p.field} is required and was empty`,
    "Set the field and repeat the call.",
  ),
  fieldTooLong: entry.INVALID_ARGUMENT<{ field: string; bytes: number; limit: number }>(
    (p) => `${p.field} is ${p.bytes} bytes long, the limit is ${p.limit} bytes`,
    "Use a shorter value.",
  ),
  fieldInvalid: entry.INVALID_ARGUMENT<{ field: string; reason: string }>(
    (p) => `${p.field} is invalid: ${p.reason}`,
    "Correct the field and repeat the call.",
  ),
  parameterUnknown: entry.INVALID_ARGUMENT<{ key: string; known: List }>(
    (p) => `StorageClass parameter ${JSON.stringify(p.key)} is unknown (known: ${p.known.join(", ")})`,
    "Remove or correct the parameter; a StorageClass is changed by creating it anew.",
  ),
  parameterInvalid: entry.INVALID_ARGUMENT<{ key: string; value: string; expected: string }>(
    (p) => `StorageClass parameter ${p.key}=${JSON.stringify(p.value)} is invalid: expected ${p.expected}`,
    "Correct the parameter; a StorageClass is changed by creating it anew.",
  ),
  attributeUnknown: entry.INVALID_ARGUMENT<{ key: string; known: List }>(
    (p) =>
      `VolumeAttributesClass parameter ${JSON.stringify(p.key)} is unknown (can be changed: ${p.known.join(", ")}); nothing was changed`,
    "Name a VolumeAttributesClass without this parameter in the claim; a class is changed by creating another one.",
  ),
  attributeFixed: entry.INVALID_ARGUMENT<{ key: string; known: List }>(
    (p) =>
      `VolumeAttributesClass parameter ${JSON.stringify(p.key)} is fixed when a volume is made (can be changed: ${p.known.join(", ")}); nothing was changed`,
    "Name a VolumeAttributesClass without this parameter in the claim; fixed parameters belong into the StorageClass.",
  ),
  attributeInvalid: entry.INVALID_ARGUMENT<{ key: string; value: string; expected: string }>(
    (p) =>
      `VolumeAttributesClass parameter ${p.key}=${JSON.stringify(p.value)} is invalid: expected ${p.expected}; nothing was changed`,
    "Name a VolumeAttributesClass with another value in the claim; a class is changed by creating another one.",
  ),
  capabilityUnsupported: entry.INVALID_ARGUMENT<{ reason: string }>(
    (p) => `volume capability is not supported: ${p.reason}`,
    "Use ReadWriteOnce or ReadWriteOncePod, or ReadWriteMany with volumeMode: Block.",
  ),
  readersOnSeveralNodes: entry.INVALID_ARGUMENT<{ mode: string }>(
    (p) =>
      `access mode ${p.mode} is refused: a volume is on one node at a time, on two only while a virtual machine migrates`,
    "For readers on one node use ReadWriteOnce, and readOnly: true in the pods. For readers on several nodes give each a volume of its own with a copy of the data, or let one pod serve the data (NFS, HTTP).",
  ),
  rwxFilesystem: entry.INVALID_ARGUMENT<Record<never, never>>(
    () =>
      "ReadWriteMany with volumeMode: Filesystem is refused: an ext4 or XFS filesystem mounted by two nodes is destroyed",
    "Set volumeMode: Block (for KubeVirt live migration), or use ReadWriteOnce.",
  ),
  capacityOutOfRange: entry.OUT_OF_RANGE<{ required: bigint; limit: bigint; reason: string }>(
    (p) => `capacity range required_bytes=${p.required} limit_bytes=${p.limit} cannot be met: ${p.reason}`,
    "Ask for a size inside the supported range, or raise limit_bytes.",
  ),
  contentSourceUnsupported: entry.INVALID_ARGUMENT<{ kind: string }>(
    (p) => `volume_content_source of kind ${p.kind} is not supported by this version`,
    "Create an empty volume and copy the data, or use a version that supports it.",
  ),
  tokenInvalid: entry.ABORTED<{ token: string }>(
    (p) => `starting_token ${JSON.stringify(p.token)} was not issued by this driver`,
    "Start the listing again with an empty token.",
  ),
  volumeNameUnknown: entry.NOT_FOUND<{ name: string; looked: List }>(
    (p) => `no volume is called ${JSON.stringify(p.name)}: ${p.looked.join("; ")}`,
    "Name a claim as namespace/name, a PersistentVolume, a volume handle or a CSI volume name; rds-csi volumes list -o wide shows them.",
  ),
  volumeNameAmbiguous: entry.FAILED_PRECONDITION<{ name: string; partly: boolean; candidates: List }>(
    ({ name, partly, candidates }) => {
      const more = candidates.length > 10 ? [`${candidates.length - 10} more`] : [];
      const fits = partly ? "is no whole name and fits" : "names";
      const listed = [...candidates.slice(0, 10), ...more].join("; ");
      return `${JSON.stringify(name)} ${fits} ${candidates.length} volumes: ${listed}`;
    },
    "Name one of them by its handle, by more of its name, or by the claim with its namespace.",
  ),
  operationInFlight: entry.ABORTED<{ volume: string; running: string }>(
    (p) => `another operation on ${p.volume} is in progress (${p.running})`,
    "",
    "The caller repeats the call; it is answered once the running operation has ended.",
  ),
  deadlineExceeded: entry.DEADLINE_EXCEEDED<{ what: string; seconds: number }>(
    (p) => `${p.what} did not finish within ${p.seconds} s`,
    "",
    "The caller repeats the call; the operation continues from where it stopped.",
  ),
  cancelled: entry.CANCELLED<{ what: string }>(
    (p) => `${p.what} was cancelled by the caller`,
    "Repeat the call if its result is still wanted.",
  ),
  shuttingDown: entry.UNAVAILABLE<Record<never, never>>(
    () => "the driver is shutting down",
    "",
    "The caller repeats the call against the restarted driver.",
  ),
  unimplemented: entry.UNIMPLEMENTED<{ method: string }>(
    (p) => `${p.method} is not offered by this component of the driver`,
    "Call the component that advertises it in its capabilities.",
  ),
  cannotListen: entry.UNAVAILABLE<Listening>(
    notListening,
    "Remove the cause that the message names, or set the option to another address.",
  ),
  addressInUse: entry.UNAVAILABLE<Listening>(
    notListening,
    "End the process that has the address (`ss -ltnpx` shows it), or set the option to another one.",
  ),
  addressNotLocal: entry.UNAVAILABLE<Listening>(
    notListening,
    "Set the option to an address of this machine (`ip address` shows them).",
  ),
  listenDenied: entry.UNAVAILABLE<Listening>(
    notListening,
    "Give this user write and search permission on the socket's directory, or the right to the port (ports below 1024 need CAP_NET_BIND_SERVICE); or set the option to another address.",
  ),
  socketDirectoryMissing: entry.UNAVAILABLE<Listening>(
    notListening,
    "Create the directory of the socket, or set the option to a path in a directory that exists.",
  ),
  socketPathOccupied: entry.UNAVAILABLE<Listening>(
    notListening,
    "Move the file away, or set the option to another path.",
  ),
  internal: entry.INTERNAL<{ what: string }>(
    (p) => `internal error: ${p.what}`,
    "This is a defect of the driver: report it with the log lines of this request id.",
  ),
} as const;
