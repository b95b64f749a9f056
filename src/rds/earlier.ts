import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { changeDisk, commandFailure, disksOf, type RdsContext, runChecked } from "./context.ts";
import { disks } from "./disk.ts";
import { hasPlainName, nqnOf } from "./layout.ts";
import type { RdsVolume } from "./volume.ts";

/** Prefix and port of each export of the earlier driver; constants there. */
const NQN_PREFIX = "nqn.2000-02.com.mikrotik";
const PORT = 4_420n;

/** What the earlier Go driver has, and gets back, on one RDS. */
export class EarlierStore {
  readonly #context: RdsContext;
  readonly #ready: (signal: AbortSignal) => Promise<unknown>;

  constructor(context: RdsContext, ready: (signal: AbortSignal) => Promise<unknown>) {
    this.#context = context;
    this.#ready = ready;
  }

  /** How many snapshots of the earlier driver there are: disk items of their own, which this driver never touches. One command. */
  async snapshots(signal: AbortSignal): Promise<number> {
    const what = "count the snapshots of the earlier driver";
    return (await this.#slots(what, ros`slot~"^snap-"`, signal)).length;
  }

  /**
   * Slots of the other disk items that are exported under an NQN of a volume: snapshots, and those of a person. One command; none without an NQN.
   * @param nqn left out: the one that the earlier driver gives it
   */
  async twins(id: VolumeId, signal: AbortSignal, nqn = nqnOf(NQN_PREFIX, id, 0)): Promise<readonly string[]> {
    if (nqn === "") return [];
    const where = ros`nvme-tcp-export=yes and nvme-tcp-server-nqn=${nqn}`;
    const slots = await this.#slots(`look for other exports of ${nqn}`, where, signal);
    return slots.filter((slot) => slot !== id);
  }

  async #slots(what: string, where: Script, signal: AbortSignal): Promise<readonly string[]> {
    await this.#ready(signal);
    const listing = disks(where, ["slot"]);
    const command = { what, purpose: "read", listing, body: (rows: Script) => rows, signal } as const;
    return disksOf(await runChecked(this.#context, command)).map(({ slot }) => slot);
  }

  /**
   * Makes the item of an adopted volume one that the earlier driver can use: without a record, exported under the plain name. One that is exported so
   * loses its record alone. One command.
   * @param volume as just read; see `givenBackProblem`
   * @returns whether it was done; false: the item was changed meanwhile
   * @throws notVerified (UNAVAILABLE)
   */
  async giveBack({ id, disk }: RdsVolume, signal: AbortSignal): Promise<boolean> {
    await this.#ready(signal);
    const what = `give volume ${id} back to the earlier driver`;
    const mine = ros`/disk/find where slot=${id} and comment=${disk.comment}`;
    const nqn = nqnOf(NQN_PREFIX, id, 0);
    const script = disk.exported
      ? ros`/disk/set [${mine} and nvme-tcp-server-nqn=${disk.nqn}] comment=""`
      : ros`/disk/set [${mine} and nvme-tcp-export=no] comment="" nvme-tcp-server-port=${PORT} nvme-tcp-server-nqn=${nqn} nvme-tcp-server-allow-host-name="" nvme-tcp-export=yes`;
    const outcome = await changeDisk(this.#context, what, "change", id, script, signal);
    if (!outcome.ok) throw commandFailure(what, outcome.failure);
    const now = outcome.disk;
    if (now?.comment !== "") return false;
    if (!now.exported || !hasPlainName(now.nqn, id))
      throw failure("notVerified", { what, detail: `it is exported as ${now.nqn || "no NQN"}` });
    return true;
  }
}

/** Why the earlier driver cannot have a volume as it is; undefined if it can. */
export function givenBackProblem({ id, record, disk }: RdsVolume): string | undefined {
  const nodes = record.attachments.map(({ node }) => node).join(" and ");
  if (record.conversion !== undefined) return "it moves into a subvolume";
  if (record.attachments.length === 0)
    return disk.exported ? "it is exported, and attached to no node" : undefined;
  if (!disk.exported) return `it is attached to ${nodes}, and its export is off`;
  if (hasPlainName(disk.nqn, id)) return undefined;
  return `${nodes} ${record.attachments.length === 1 ? "has" : "have"} it under NQN ${disk.nqn}, which the earlier driver does not know; stop what uses it, and wait until it is detached`;
}
