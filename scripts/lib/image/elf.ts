import type { Buffer } from "node:buffer";

/** The needs of a dynamically linked ELF file. */
export interface Elf {
  /** `e_machine`: 62 is x86-64, 183 AArch64. */
  readonly machine: number;
  /** The program loader, e.g. `/lib64/ld-linux-x86-64.so.2`; undefined for libraries. */
  readonly interpreter?: string;
  /** Names of libraries (DT_NEEDED), in order. */
  readonly needed: readonly string[];
  /** Whether it searches places of its own (DT_RPATH, DT_RUNPATH). */
  readonly searches: boolean;
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DT_RPATH = 15n;
const DT_RUNPATH = 29n;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly size: number;
}

/**
 * Reads an ELF file without running anything of it. Source: elf(5).
 * @returns undefined for a file that is no ELF
 * @throws Error for an ELF that is not 64-bit little-endian, or cut
 */
export function readElf(bytes: Buffer): Elf | undefined {
  if (bytes.length < 4 || bytes.readUInt32BE(0) !== 0x7f454c46) return undefined;
  if (bytes[4] !== 2 || bytes[5] !== 1) throw new Error("not a 64-bit little-endian ELF file");
  const segments = segmentsOf(bytes);
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const entries = dynamicEntries(bytes, segments);
  const strings = entries.find(([tag]) => tag === DT_STRTAB)?.[1];
  const at = strings === undefined ? 0 : offsetOf(segments, strings);
  const needed = entries
    .filter(([tag]) => tag === DT_NEEDED)
    .map(([, value]) => text(bytes, at + Number(value)));
  return {
    machine: bytes.readUInt16LE(18),
    ...(interpreter === undefined ? {} : { interpreter: text(bytes, interpreter.offset) }),
    needed,
    searches: entries.some(([tag]) => tag === DT_RPATH || tag === DT_RUNPATH),
  };
}

function segmentsOf(bytes: Buffer): readonly Segment[] {
  const table = Number(bytes.readBigUInt64LE(32));
  const entrySize = bytes.readUInt16LE(54);
  return Array.from({ length: bytes.readUInt16LE(56) }, (_, n) => {
    const at = table + n * entrySize;
    return {
      type: bytes.readUInt32LE(at),
      offset: Number(bytes.readBigUInt64LE(at + 8)),
      address: bytes.readBigUInt64LE(at + 16),
      size: Number(bytes.readBigUInt64LE(at + 32)),
    };
  });
}

function dynamicEntries(bytes: Buffer, segments: readonly Segment[]): readonly (readonly [bigint, bigint])[] {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  return Array.from({ length: Math.floor(dynamic.size / 16) }, (_, n) => {
    const at = dynamic.offset + n * 16;
    return [bytes.readBigUInt64LE(at), bytes.readBigUInt64LE(at + 8)] as const;
  });
}

/** Where in the file an address is. */
function offsetOf(segments: readonly Segment[], address: bigint): number {
  const load = segments.find(
    (segment) =>
      segment.type === PT_LOAD &&
      address >= segment.address &&
      address < segment.address + BigInt(segment.size),
  );
  if (load === undefined) throw new Error("its string table is not in the file");
  return Number(address - load.address) + load.offset;
}

function text(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  if (end < 0) throw new Error("it ends in the middle of a name");
  return bytes.toString("latin1", at, end);
}
