import { readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { block, MIB } from "../support/rpc.ts";
import { connectWith, type TestClient } from "../support/simulator-client.ts";
import { type Stand, type StandOptions, startStand } from "../support/stand.ts";
import type { Row } from "./table.ts";

/** A run of one group of figures. */
export interface Bench {
  readonly quick: boolean;
  add(row: Row): void;
  /** Says on standard error what is measured now. */
  say(text: string): void;
}

/** Takes down an installation that runs now. */
type Ending = () => Promise<unknown>;
const running = new Set<Ending>();

/** Does some work; a signal meanwhile calls `ending` before the bench ends. */
export async function orEnded<T>(ending: Ending, work: () => Promise<T>): Promise<T> {
  running.add(ending);
  return await work().finally(() => running.delete(ending));
}

/** Lets a signal end the bench, and take down the installations that run. */
export function endOnSignals(): void {
  for (const [signal, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.once(signal, async () => {
      for (const ending of running)
        await ending().catch((error: unknown) => console.error(`bench: ${error}`));
      process.exit(status);
    });
  }
}

/** Runs `work` on an installation of its own, without nodes unless the options say so. */
export async function onStand<T>(
  options: Partial<StandOptions>,
  work: (stand: Stand) => Promise<T>,
): Promise<T> {
  const base = await shortDirectory();
  try {
    const directory = join(base, "s");
    const stand = await startStand({ executable, directory, startNodes: false, ...options });
    const ending = () => stand.close().finally(() => rm(base, { recursive: true, force: true }));
    try {
      return await orEnded(ending, () => work(stand));
    } finally {
      await stand.close();
    }
  } finally {
    await rmdir(base);
  }
}

/** Flags of a simulator with a link of so many milliseconds: each command waits that long, beside others. Files are in memory. */
export const link = (ms: number): readonly string[] => ["--backend", "memory", "--latency-ms", String(ms)];

/** One RPC of a volume's life on the controller. */
export interface Step {
  readonly rpc: string;
  /** @param signal cancels it, as a caller does that gives up */
  call(signal?: AbortSignal): Promise<unknown>;
}

/** A small block volume. */
export const createRequest = (name: string) => ({
  name,
  capacityRange: { requiredBytes: 8n * MIB },
  volumeCapabilities: [block()],
});

const given = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

/** The life of a block volume on the controller. */
export function life({ controller }: Stand, name: string, nodeId = "node-a"): readonly Step[] {
  const volumeId = volumeIdFromName(name);
  const volumeCapability = block();
  return [
    {
      rpc: "CreateVolume",
      call: (signal) => controller.createVolume(createRequest(name), given(signal)),
    },
    {
      rpc: "ControllerPublishVolume",
      call: (signal) =>
        controller.controllerPublishVolume({ volumeId, nodeId, volumeCapability }, given(signal)),
    },
    {
      rpc: "ControllerUnpublishVolume",
      call: (signal) => controller.controllerUnpublishVolume({ volumeId, nodeId }, given(signal)),
    },
    { rpc: "DeleteVolume", call: (signal) => controller.deleteVolume({ volumeId }, given(signal)) },
  ];
}

/** A life with reads between the changes: seven RPCs. */
export function mixedLife(stand: Stand, name: string): readonly Step[] {
  const [create, publish, unpublish, remove] = life(stand, name) as [Step, Step, Step, Step];
  const volumeId = volumeIdFromName(name);
  return [
    create,
    { rpc: "GetCapacity", call: () => stand.controller.getCapacity() },
    publish,
    {
      rpc: "ValidateVolumeCapabilities",
      call: () => stand.controller.validateVolumeCapabilities({ volumeId, volumeCapabilities: [block()] }),
    },
    { rpc: "Probe", call: () => stand.identity.probe() },
    unpublish,
    remove,
  ];
}

/** Runs `count` jobs, `width` of them at a time. */
export async function atATime(width: number, count: number, job: (index: number) => Promise<unknown>) {
  let next = 0;
  const worker = async () => {
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** A SSH connection of the bench itself: it sends bare RouterOS lines, one after the other. */
export async function bare(stand: Stand): Promise<TestClient> {
  const [, address = ""] = stand.rdsFlags;
  const at = address.lastIndexOf(":");
  const privateKey = await readFile(join(stand.directory, "user-key"), "utf8");
  const client = await connectWith(
    { host: address.slice(0, at), port: Number(address.slice(at + 1)) },
    { username: "csi", privateKey },
  );
  await client.exec(":put 1");
  return client;
}

interface SavedState {
  nextId: number;
  files: { id: number; path: string }[];
  subvolumes: { id: number; fullname: string }[];
  disks: { id: number; config: { $map: [string, unknown][] } }[];
}

/** Name of a volume that `fill` has made. */
export const filledName = (index: number): string => `filled-${index}`;

/**
 * Puts `count` volumes on the RDS by writing the state of the stopped simulator, and starts the controller anew. Each is a copy of a
 * volume that the driver has made.
 * @returns the processes of the new controller and the new simulator
 */
export async function fill(stand: Stand, count: number) {
  const [create, , , remove] = life(stand, "pattern") as [Step, Step, Step, Step];
  await create.call();
  await stand.controllerProcess.stop();
  await stand.simulator.stop();
  const file = join(stand.directory, "rds/state.json");
  const state = JSON.parse(await readFile(file, "utf8")) as SavedState;
  const pattern = volumeIdFromName("pattern");
  // The directory that is its subvolume, and its image.
  const files = state.files.filter(({ path }) => path.includes(pattern));
  const subvolume = state.subvolumes.find(({ fullname }) => fullname.includes(pattern));
  const disk = state.disks.find(({ config }) => JSON.stringify(config).includes(pattern));
  const copy = <T>(from: T, name: string): T =>
    JSON.parse(
      JSON.stringify({ ...from, id: state.nextId++ })
        .replaceAll(pattern, volumeIdFromName(name))
        .replaceAll("n=pattern;", `n=${name};`),
    );
  if (subvolume === undefined || disk === undefined) throw new Error("the RDS does not have the pattern");
  for (let index = 0; index < count; index++) {
    state.files.push(...files.map((each) => copy(each, filledName(index))));
    state.subvolumes.push(copy(subvolume, filledName(index)));
    state.disks.push(copy(disk, filledName(index)));
  }
  await writeFile(file, JSON.stringify(state));
  const simulator = await stand.startSimulator();
  const controller = await stand.startController();
  await stand.control.untilAnswered(2);
  await remove.call();
  return { controller, simulator };
}
