import { parseVolumeId } from "../../domain/volume-id.ts";
import { type Disk, diskFromRow, disks } from "../../rds/disk.ts";
import { requirePool } from "../../rds/pool.ts";
import { escapeRegex } from "../../routeros/quote.ts";
import type { Row } from "../../routeros/reply/row.ts";
import { text } from "../../routeros/reply/row.ts";
import { ros, type Script } from "../../routeros/script.ts";
import type { Bench, Told } from "../bench.ts";
import type { Answer, Experiment, Stage } from "../experiment.ts";
import { Unanswered } from "../unanswered.ts";

/** Everything that the probe makes has a name that begins so. People are told that such names are the probe's. */
export const NAME = "csi-probe";
export const MIB = 1_048_576n;
/** The comment of each of its disks begins so. */
export const COMMENT = "rds-csi probe";
/** Of each file. Bytes. */
export const SIZE = 16n * MIB;

/** How often a look is repeated until a change shows, and the pause. Milliseconds. */
const POLLS = 200;
const POLL_MS = 50;

/** Limit of one line of the scratch stage. Milliseconds. */
const CHANGE_MS = 60_000;

/** Bytes that a pool must have left: a full one stops every volume on it. */
const ROOM = 16n * SIZE;

/** Whether a component of a path is a volume or a snapshot of the driver, e.g. with `--directory csi-probe`. */
function isOfDriver(component: string): boolean {
  return (
    parseVolumeId(component.replace(/[.]img$/, "")) !== undefined || /^snap-[0-9a-f]{28}/.test(component)
  );
}

/** What is left of the probe on a device. */
export interface Leftovers {
  readonly slots: readonly string[];
  readonly subvolumes: readonly string[];
  readonly files: readonly string[];
}

/** A pool with room for the probe, and the names that it uses there. */
export class Scratch {
  readonly bench: Bench;
  readonly pool: Disk;

  private constructor(bench: Bench, pool: Disk) {
    this.bench = bench;
    this.pool = pool;
  }

  /** @throws poolNotFound, poolNotMounted */
  static async on(bench: Bench): Promise<Scratch> {
    const rows = await bench.rows(disks(ros`slot=${bench.settings.pool}`));
    return new Scratch(bench, requirePool(rows.map(diskFromRow), bench.settings.pool));
  }

  /** Whether the pool can hold subvolumes. */
  get isBtrfs(): boolean {
    return this.pool.fs === "btrfs" && this.pool.fsLabel !== "";
  }

  get label(): string {
    return this.pool.fsLabel;
  }

  /** The probe's folder, without a leading slash. */
  get folder(): string {
    return `${this.pool.mountPoint}/${NAME}`;
  }

  /** Path of a file in the probe's folder. */
  file(name: string): string {
    return `${this.folder}/${name}.img`;
  }

  /** Name of a subvolume of the probe. */
  subvolume(name: string): string {
    return `${NAME}-${name}`;
  }

  /** Directory of a subvolume of the probe. */
  directory(name: string): string {
    return `${this.pool.mountPoint}/${this.subvolume(name)}`;
  }

  slot(name: string): string {
    return `${NAME}-${name}`;
  }

  /** Runs statements. @returns the error text of RouterOS; undefined if they ran */
  async refusal(script: Script): Promise<string | undefined> {
    const told = await this.bench.tell(script, CHANGE_MS);
    return told.ok ? undefined : told.text;
  }

  /** Runs statements that are to succeed. @throws Unanswered with the text of RouterOS */
  async run(script: Script): Promise<Told> {
    const told = await this.bench.tell(script, CHANGE_MS);
    if (!told.ok) throw new Unanswered(told.text);
    return told;
  }

  /** Statement: adds a disk on a file of the probe. */
  adding(
    slot: string,
    path: string,
    size: bigint | undefined,
    more: Script = ros``,
    comment = COMMENT,
  ): Script {
    const fileSize = size === undefined ? ros`` : ros` file-size=${size}`;
    return ros`/disk/add type=file slot=${slot} file-path=${path}${fileSize} mount-filesystem=no nvme-tcp-export=no comment=${comment}${more}`;
  }

  /** Adds a disk, and waits until it shows its size. @returns milliseconds until then */
  async add(slot: string, path: string, size: bigint = SIZE, more: Script = ros``): Promise<number> {
    const begun = this.bench.clock.monotonic();
    await this.run(this.adding(slot, path, size, more));
    let looks = 0;
    await this.until(`the size of ${slot}`, async () => {
      looks += 1;
      return (await this.disk(slot))?.size !== undefined;
    });
    return looks === 1 ? 0 : this.bench.clock.monotonic() - begun;
  }

  async disk(slot: string): Promise<Disk | undefined> {
    const [found] = (await this.bench.rows(disks(ros`slot=${slot}`))).map(diskFromRow);
    return found;
  }

  /** The disk on a file of the probe, whatever its slot. */
  async diskOn(path: string): Promise<Disk | undefined> {
    return (await this.#disks()).find(({ filePath }) => filePath === path);
  }

  /** File disks that have a slot of the probe, or a file in one of its folders; also those of others. */
  async #disks(): Promise<readonly Disk[]> {
    const where = ros`type=file and (slot~${`^${NAME}`} or file-path~${this.#pattern})`;
    return (await this.bench.rows(disks(where))).map(diskFromRow);
  }

  /** @throws Unanswered for a disk without slot: others may have none, too */
  async removeDisk(slot: string): Promise<void> {
    if (slot === "") throw new Unanswered("a disk of the probe has no slot");
    await this.run(ros`/disk/remove [/disk/find where slot=${slot} and type=file]`);
  }

  /** Bytes that the pool has left, as it shows them. */
  async free(): Promise<bigint> {
    const [row] = await this.bench.rows(disks(ros`slot=${this.pool.slot}`));
    const free = row === undefined ? undefined : diskFromRow(row).free;
    if (free === undefined) throw new Unanswered(`the pool ${this.pool.slot} shows no free space`);
    return free;
  }

  /** @throws Unanswered */
  async requireRoom(): Promise<void> {
    const free = await this.free();
    const left = `pool ${this.pool.slot} has ${free / MIB} MiB left`;
    if (free < ROOM) throw new Unanswered(`${left}, and the probe wants ${ROOM / MIB} MiB`);
  }

  async exists(path: string): Promise<boolean> {
    return (await this.bench.value(ros`[:len [/file/find where name=${path}]]`)) !== "0";
  }

  async makeFolder(): Promise<void> {
    await this.run(
      ros`:if ([:len [/file/find where name=${this.folder}]] = 0) do={ /file/add name=${this.folder} type=directory }`,
    );
  }

  /** Rows of the probe's subvolumes. */
  async subvolumes(): Promise<readonly Row[]> {
    if (!this.isBtrfs) return [];
    const properties = ["fs", "name", "fullname", "read-only", "dead"];
    const where = ros`fs=${this.label} and fullname~${`^/?${NAME}-`}`;
    return await this.bench.rows({
      label: "subvolumes",
      menu: ros`/disk/btrfs/subvolume`,
      where,
      properties,
    });
  }

  /** Waits until a look succeeds. @throws Unanswered */
  async until(what: string, look: () => Promise<boolean>): Promise<void> {
    for (let poll = 0; poll < POLLS; poll++) {
      if (await look()) return;
      await this.bench.sleep(POLL_MS);
    }
    throw new Unanswered(`waited for ${what}`);
  }

  /** Everything on the pool that has the probe's names. @throws Unanswered if something of others has one */
  async leftovers(): Promise<Leftovers> {
    const listed = await this.#disks();
    const subvolumes = (await this.subvolumes()).filter((row) => !/^(true|yes)$/.test(text(row, "dead")));
    const files = await this.bench.rows({
      label: "files",
      menu: ros`/file`,
      where: ros`name~${this.#pattern}`,
      properties: ["name", "type"],
    });
    const left: Leftovers = {
      slots: listed.filter((disk) => this.#isMine(disk)).map(({ slot }) => slot),
      subvolumes: subvolumes.map((row) => text(row, "fullname").replace(/^\/+/, "")),
      files: files.map((row) => text(row, "name")),
    };
    const others = listed.filter((disk) => this.#isInside(disk) && !this.#isMine(disk));
    const volumes = [...left.subvolumes, ...left.files].filter((path) => path.split("/").some(isOfDriver));
    const [first] = [...others.map(({ filePath }) => filePath), ...volumes];
    if (first === undefined) return left;
    throw new Unanswered(
      `${first} is not the probe's, and the probe removes all that is in ${this.folder} and ${this.folder}-…: move it, or give the folder of the volumes another name`,
    );
  }

  get #pattern(): string {
    return `^/?${escapeRegex(`${this.pool.mountPoint}/${NAME}`)}(-[a-z]|/|$)`;
  }

  #isInside({ filePath }: Disk): boolean {
    return filePath.startsWith(`${this.folder}/`) || filePath.startsWith(`${this.folder}-`);
  }

  #isMine(disk: Disk): boolean {
    return this.#isInside(disk) && disk.comment.startsWith(COMMENT) && disk.slot !== "";
  }

  /** Removes everything that the probe has made, also what an earlier one left. @throws Unanswered naming what stays */
  async clean(): Promise<void> {
    let left: Leftovers = { slots: [], subvolumes: [], files: [] };
    for (let round = 0; round < 6; round++) {
      left = await this.leftovers();
      const { slots, subvolumes, files } = left;
      if (slots.length + subvolumes.length + files.length === 0) return;
      for (const slot of slots) {
        await this.refusal(ros`/disk/set [/disk/find where slot=${slot} and type=file] nvme-tcp-export=no`);
        await this.refusal(ros`/disk/remove [/disk/find where slot=${slot} and type=file]`);
      }
      // The inner ones first.
      for (const name of subvolumes.toSorted((a, b) => b.length - a.length)) {
        const found = ros`fs=${this.label} and (fullname=${name} or fullname=${`/${name}`})`;
        await this.refusal(
          ros`:foreach s in=[/disk/btrfs/subvolume/find where ${found}] do={ :onerror e in={ /disk/btrfs/subvolume/remove $s } do={ } }`,
        );
      }
      for (const name of files.toSorted((a, b) => b.length - a.length))
        await this.refusal(ros`/file/remove [/file/find where name=${name}]`);
      if (round > 0) await this.bench.sleep(POLL_MS * 4);
    }
    const names = [...left.slots, ...left.subvolumes, ...left.files].join(", ");
    throw new Unanswered(`these stay on the RDS, remove them by hand: ${names}`);
  }
}

/** An experiment that makes disks and files: it begins and ends with none of the probe's. */
function withScratch(ask: (scratch: Scratch) => Promise<Answer>): (bench: Bench) => Promise<Answer> {
  return async (bench) => {
    const scratch = await Scratch.on(bench);
    await scratch.clean();
    await scratch.requireRoom();
    await scratch.makeFolder();
    try {
      return await ask(scratch);
    } finally {
      await scratch.clean();
    }
  };
}

/** Limit of an experiment that makes disks. Milliseconds. */
const LIMIT_MS = 300_000;

/** Makes experiments of a stage: id, question, announcement, switches, answers, and how to ask. */
export const scratched =
  (stage: Stage) =>
  (
    id: string,
    question: string,
    does: string,
    settles: readonly string[],
    answers: Experiment["answers"],
    ask: (scratch: Scratch) => Promise<Answer>,
  ): Experiment => ({
    id,
    stage,
    question,
    does,
    answers,
    settles,
    limitMs: LIMIT_MS,
    ask: withScratch(ask),
  });
