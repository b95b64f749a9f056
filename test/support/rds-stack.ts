import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import ssh2 from "ssh2";
import { AttachmentService } from "../../src/controller/attachments.ts";
import { CopyService } from "../../src/controller/copies.ts";
import { type EvidenceSource, noOrchestrator } from "../../src/controller/evidence.ts";
import { ExpansionService, type OnlineExpansion } from "../../src/controller/expansion.ts";
import { createMigrationMetrics, type MigrationMetrics } from "../../src/controller/migration-metrics.ts";
import { MigrationReporter } from "../../src/controller/migration-reporter.ts";
import { ModifyService } from "../../src/controller/modify.ts";
import { SnapshotService } from "../../src/controller/snapshots.ts";
import { VolumeCounts } from "../../src/controller/volume-counts.ts";
import { VolumeHealthService } from "../../src/controller/volume-health.ts";
import { VolumeService } from "../../src/controller/volumes.ts";
import type { Capability } from "../../src/domain/access-mode.ts";
import { type Clock, systemClock } from "../../src/domain/clock.ts";
import type { Premises } from "../../src/domain/premises.ts";
import { staticNodes } from "../../src/kubernetes/node-registry.ts";
import type { ClaimEvent } from "../../src/kubernetes/port.ts";
import { silentLogger } from "../../src/observability/log.ts";
import type { Fencing } from "../../src/rds/context.ts";
import { Rds } from "../../src/rds/rds.ts";
import { RouterOsClient } from "../../src/routeros/client.ts";
import type { ReplyForm } from "../../src/routeros/reply/form.ts";
import { type HostKeyPin, parseHostKeyPin } from "../../src/routeros/transport/host-keys.ts";
import { createSshTransport } from "../../src/routeros/transport/ssh-transport.ts";
import type { Transport } from "../../src/routeros/transport/transport.ts";
import type { ProfileName } from "../../src/simulator/profiles.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulator/simulator.ts";
import { secretKey } from "./secret-key.ts";

/** RDS_CSI_TEST_PROFILE runs every test of a stack under that profile of the simulator, unless the test chooses one. */
const PROFILE: Pick<SimulatorOptions, "profile"> =
  process.env.RDS_CSI_TEST_PROFILE === undefined
    ? {}
    : { profile: process.env.RDS_CSI_TEST_PROFILE as ProfileName };

export const MIB = 1024n * 1024n;
export const GIB = 1024n * MIB;
export const LAYOUT = { pool: "storage-pool", directory: "csi" } as const;

export const BLOCK: Capability = {
  accessMode: "SINGLE_NODE_WRITER",
  accessType: "block",
  fsType: "",
  mountFlags: [],
};
export const MOUNT: Capability = { ...BLOCK, accessType: "mount" };

export interface StackOptions extends SimulatorOptions {
  readonly fencing?: Fencing;
  /** Default "test". */
  readonly clusterId?: string;
  readonly online?: OnlineExpansion;
  readonly evidence?: EvidenceSource;
  readonly reserveBytes?: bigint;
  readonly maxVolumesPerNode?: number;
  /** Bytes of each part of a copy. */
  readonly chunkBytes?: bigint;
  /** How long a volume that is copied stays unfinished; left out: as in production. Milliseconds. */
  readonly settleMs?: number;
  /** Folder of the volumes below a pool's mount point. */
  readonly directory?: string;
  /** The clock of the simulator; `clock` is that of the controllers. */
  readonly simulatorClock?: Clock;
  /** Reply forms to use; the driver's own order when left out. */
  readonly forms?: readonly ReplyForm[];
  /** Makes the user "csi" with the driver's public key, before a controller logs in; else it is there from the start. */
  readonly prepare?: (simulator: Simulator, publicKey: string) => Promise<void>;
}

/** Settings of one controller; left out: those of the stack. */
export interface ControllerSettings {
  readonly online?: OnlineExpansion;
  readonly fencing?: Fencing;
  readonly nqnPrefix?: string;
  readonly nvmePort?: number;
  /** Folder of the volumes below a pool's mount point. */
  readonly directory?: string;
  readonly premises?: Premises;
}

/** An event that a controller posted on the claim of a volume. */
export type PostedEvent = ClaimEvent & { readonly handle: string };

/** One controller, as a process of its own would be: its own connections and memory. */
export interface ControllerStack {
  readonly transport: Transport;
  readonly rds: Rds;
  readonly volumes: VolumeService;
  readonly copies: CopyService;
  readonly snapshots: SnapshotService;
  readonly health: VolumeHealthService;
  readonly attachments: AttachmentService;
  readonly expansions: ExpansionService;
  readonly modifications: ModifyService;
  /** Events on claims, in order. */
  readonly posted: PostedEvent[];
  readonly registry: Registry;
  readonly reporter: MigrationReporter;
  readonly metrics: MigrationMetrics;
  /** The counts of volumes that scrapes show. */
  readonly counts: VolumeCounts;
  /** Lists the volumes anew, as this process does by itself every minute. */
  refreshCounts(): Promise<unknown>;
}

/** A simulator and any number of controllers in front of it, over real SSH on loopback. */
export interface Stack extends ControllerStack {
  readonly simulator: Simulator;
  readonly keyFile: string;
  /** Another controller process against the same RDS, with settings of its own. */
  controller(settings?: ControllerSettings): ControllerStack;
  /** RouterOS command lines that were run since the last call. */
  commandsSince(): string[];
  /** Never aborted within a test. */
  readonly signal: AbortSignal;
  close(): Promise<void>;
}

/** An RSA key pair in PEM and OpenSSH form. */
export function newRsaKey(): { privatePem: string; publicLine: string } {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const privatePem = privateKey.export({ type: "pkcs1", format: "pem" }).toString();
  const parsed = ssh2.utils.parseKey(privatePem);
  if (parsed instanceof Error) throw parsed;
  return { privatePem, publicLine: `ssh-rsa ${parsed.getPublicSSH().toString("base64")}` };
}

/** A pin from its text. */
export function hostKeyPin(text: string): HostKeyPin {
  const pin = parseHostKeyPin(text);
  if (typeof pin === "string") throw new Error(pin);
  return pin;
}

/** A clock for simulators on which nobody waits long: a `:delay` of seconds lets other lines run, and is over soon. */
export const BRISK_CLOCK: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 20), signal),
};

/** Starts a simulator with one user and a controller that may log in. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const {
    fencing = "epoch",
    clusterId = "test",
    online = "announce",
    evidence = noOrchestrator,
    reserveBytes = GIB,
    maxVolumesPerNode = 0,
    directory: volumeDirectory = LAYOUT.directory,
    chunkBytes,
    settleMs,
    forms,
    prepare,
    clock = systemClock,
    simulatorClock,
    ...simulatorOptions
  } = options;
  const directory = await mkdtemp(join(tmpdir(), "rds-csi-stack-"));
  const key = secretKey("user key of a stack");
  const keyFile = join(directory, "user-key");
  await writeFile(keyFile, key.private, { mode: 0o600 });
  const authorized = prepare === undefined ? { authorizedKeys: [key.public] } : {};
  const simulator = await startSimulator({
    ...PROFILE,
    ...authorized,
    ...(simulatorClock === undefined ? {} : { clock: simulatorClock }),
    ...simulatorOptions,
  });
  await prepare?.(simulator, key.public);
  const opened: ControllerStack[] = [];
  const controller = (settings: ControllerSettings = {}): ControllerStack => {
    const fencingHere = settings.fencing ?? fencing;
    const transport = createSshTransport({
      host: simulator.host,
      port: simulator.port,
      user: "csi",
      keyFile,
      hostKeys: simulator.hostKeyFingerprints.map(hostKeyPin),
      patienceMs: 300,
      backoff: { firstMs: 5, maxMs: 50, maxFatalMs: 50 },
    });
    const rds = new Rds({
      client: new RouterOsClient(transport, undefined, forms),
      clock,
      logger: silentLogger,
      clusterId,
      defaultPool: LAYOUT.pool,
      reserveBytes,
      nqnPrefix: settings.nqnPrefix ?? "nqn.2000-02.com.mikrotik",
      nvmePort: settings.nvmePort ?? 4420,
      fencing: fencingHere,
    });
    transport.onReconnect(() => rds.forgetVersion());
    const registry = new Registry();
    const posted: PostedEvent[] = [];
    const { signal } = new AbortController();
    const counts = new VolumeCounts({ rds, clock, logger: silentLogger });
    const metrics = createMigrationMetrics(registry, () => counts.onTwoNodes(), clock);
    const reporter = new MigrationReporter({
      metrics,
      logger: silentLogger,
      clock,
      events: { post: () => {}, postForVolume: (handle, event) => posted.push({ handle, ...event }) },
      outcome: async () => undefined,
      instance: `process-${opened.length}`,
      fencing: fencingHere,
    });
    const claims = (event: ClaimEvent & { readonly claim: { readonly name: string } }) =>
      posted.push({
        handle: event.claim.name,
        type: event.type,
        reason: event.reason,
        message: event.message,
      });
    const copies = new CopyService({
      ...{ rds, clock, logger: silentLogger, chunkBytes, settleMs },
      events: { post: claims, postForVolume: () => {} },
    });
    const stack: ControllerStack = {
      transport,
      rds,
      posted,
      registry,
      reporter,
      metrics,
      counts,
      refreshCounts: () => counts.refresh(signal),
      health: new VolumeHealthService({ rds, clock, cluster: undefined }),
      copies,
      volumes: new VolumeService({
        ...{ rds, clock, copies },
        layout: { ...LAYOUT, directory: settings.directory ?? volumeDirectory },
        reserveBytes,
        clusterId,
      }),
      snapshots: new SnapshotService({
        store: rds.snapshots,
        conversions: rds.conversions,
        layout: { ...LAYOUT, directory: settings.directory ?? volumeDirectory },
        reserveBytes,
      }),
      expansions: new ExpansionService({
        rds,
        reporter,
        logger: silentLogger,
        clock,
        reserveBytes,
        online: settings.online ?? online,
        ...(settings.premises === undefined ? {} : { premises: settings.premises }),
      }),
      modifications: new ModifyService({ rds, reporter, logger: silentLogger }),
      attachments: new AttachmentService({
        rds,
        nodes: staticNodes(["node-a", "node-b", "node-c"]),
        evidence,
        reporter,
        logger: silentLogger,
        clock,
        clusterId,
        nvmeAddress: "127.0.0.1",
        maxVolumesPerNode,
      }),
    };
    opened.push(stack);
    return stack;
  };
  let seen = 0;
  let closed = false;
  return {
    ...controller(),
    simulator,
    keyFile,
    controller,
    signal: new AbortController().signal,
    commandsSince: () => {
      const lines = simulator.commands.slice(seen).map((entry) => entry.line);
      seen = simulator.commands.length;
      return lines;
    },
    close: async () => {
      if (closed) return;
      closed = true;
      for (const { copies, transport } of opened) {
        const ended = copies.close();
        await transport.close();
        await ended;
      }
      await simulator.stop();
      await rm(directory, { recursive: true });
    },
  };
}
