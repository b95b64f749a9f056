import type { Machine } from "./machine.ts";
import { RECORDS } from "./world.ts";

/** Records of a file: guest/records.c has one slot more, which record 512 would be the next to use. */
const PER_FILE = 511;
const FILE_BYTES = 512 * 4096;

let writers = 0;

/**
 * Writes numbered records in a mounted filesystem without pause, each by direct I/O that the device has to acknowledge (guest/records.c),
 * into file after file, so that the filesystem's own log has always something in it. The numbers run through all files.
 */
export class FileWriter {
  readonly #machine: Machine;
  readonly #progress: string;
  readonly #ended: Promise<string>;

  private constructor(machine: Machine, progress: string, ended: Promise<string>) {
    this.#machine = machine;
    this.#progress = progress;
    this.#ended = ended;
  }

  /** @param directory empty, or not there yet */
  static async start(machine: Machine, directory: string): Promise<FileWriter> {
    writers += 1;
    const name = `file-writer-${writers}`;
    const progress = `/run/${name}`;
    await machine.sh(`mkdir -p ${directory} ${progress}`);
    // The name and length of a file are on the device before its first record.
    const script = `cd ${directory} && k=0
      until [ -e ${progress}/stop ]; do
        truncate -s ${FILE_BYTES} $k && sync $k . && ${RECORDS} write $k 1 ${progress}/$k $((k + 1)) ${PER_FILE} || exit 1
        k=$((k + 1))
      done`;
    const { ended } = await machine.start(name, "/bin/sh", ["-c", script]);
    return new FileWriter(machine, progress, ended);
  }

  /** Number of the last acknowledged record. */
  async acknowledged(): Promise<number> {
    const script = `cd ${this.#progress} && k=$(ls | grep -v stop | sort -n | tail -1) && echo \${k:-0} $(cat $k </dev/null)`;
    const [file = 0, record = 0] = (await this.#machine.look(script)).split(/\s+/).map(Number);
    return file * PER_FILE + record;
  }

  /** Ends after the running file; the last acknowledged number. */
  async stop(): Promise<number> {
    await this.#machine.sh(`: >${this.#progress}/stop`);
    const how = await this.#ended;
    if (how !== "0") throw new Error(`the writer ended with ${how}`);
    return await this.acknowledged();
  }
}

/** Number of the newest record in a directory, after a check that each one before it is there; a problem is thrown, in the checker's words. */
export async function countRecords(machine: Machine, directory: string): Promise<number> {
  const script = `set -e; cd ${directory}; k=$(ls | sort -n | tail -1)
    for i in $(seq 0 $((k - 1))); do ${RECORDS} verify $i ${PER_FILE} $((i + 1)) >&2; done
    # A file whose length was not set yet has no record.
    if [ "$(stat -c %s $k)" = ${FILE_BYTES} ]; then
      n=$(${RECORDS} newest $k); ${RECORDS} verify $k $n $((k + 1)) >&2
    else
      n=0; [ "$(stat -c %s $k)" = 0 ]
    fi
    echo $k $n`;
  const [file = 0, record = 0] = (await machine.sh(script)).split(" ").map(Number);
  return file * PER_FILE + record;
}
