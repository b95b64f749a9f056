/** A live export as hosts see it; sizes in bytes. */
export interface ExportRecord {
  readonly nqn: string;
  readonly port: number;
  /** RouterOS path of the image without leading slash. */
  readonly path: string;
  readonly sizeBytes: bigint;
  readonly slot: string;
  /** Host NQNs that may connect; empty means any. */
  readonly allowHosts: readonly string[];
  /** The source of serial number and namespace identifiers: equal texts are the same device to a host. */
  readonly identity: string;
}

/** A file or directory that a backend holds. */
export interface BackendEntry {
  readonly path: string;
  readonly directory: boolean;
  readonly size: bigint;
}

/** Bytes that the files of a pool take; what several of them share counts once. */
export interface PoolUsage {
  readonly all: bigint;
  /** The part that only clones have, because their sources changed or are gone. */
  readonly clones: bigint;
}

/**
 * Where the bytes of image files are. Paths are canonical RouterOS paths without leading slash,
 * `storage-pool/csi/x.img`. Files are sparse: unwritten ranges read as zeros.
 */
export interface Backend {
  readonly kind: "memory" | "files" | "nvmet";
  /** Whether a clone holds its source as it was at one instant, also while hosts write to it. */
  readonly instantCopies: boolean;
  /** Prepares a pool's root directory. */
  openPool(name: string): Promise<void>;
  /** Everything that exists, when the backend knows better than the saved state; undefined otherwise. */
  list(): Promise<readonly BackendEntry[] | undefined>;
  create(path: string, size: bigint): Promise<void>;
  resize(path: string, size: bigint): Promise<void>;
  /** Removes a file; one that is not there is no error. */
  remove(path: string): Promise<void>;
  makeDirectory(path: string): Promise<void>;
  /** Removes an empty directory. */
  removeDirectory(path: string): Promise<void>;
  /** Copies bytes; the target is made, or overwritten from its start when it is there. */
  copy(from: string, to: string): Promise<void>;
  /**
   * Makes new files with the bytes of others, sharing blocks until one of the two is written, where that is possible:
   * all of them or none.
   * @param pairs source and target
   */
  clone(pairs: readonly (readonly [from: string, to: string])[]): Promise<void>;
  read(path: string, offset: bigint, length: number): Promise<Uint8Array>;
  write(path: string, offset: bigint, data: Uint8Array): Promise<void>;
  /** Bytes that the file takes for real; blocks that it shares count too. */
  allocated(path: string): Promise<bigint>;
  /** Absent where only `allocated` is known. */
  usage?(pool: string): PoolUsage;
  /** The file's absolute path on this machine, when it has one. */
  hostPath(path: string): string | undefined;
  /**
   * Makes an export, or changes the one with this NQN; hosts that stay allowed stay connected.
   * @throws SimulatorError when that is not possible here
   */
  publishExport(record: ExportRecord): Promise<void>;
  /** Ends all hosts' connections to an export; those that may connect come back by themselves. */
  dropHosts(nqn: string): Promise<void>;
  /** Ends an export and its connections; one that is not there is no error. */
  withdrawExport(nqn: string): Promise<void>;
  /** Forgets all exports, also those of an earlier process. */
  withdrawAllExports(): Promise<void>;
}
