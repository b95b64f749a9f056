/** `major:minor` of a stat(2) device number, as Linux encodes it (makedev(3)). */
export function deviceNumber(dev: number | bigint): string {
  const value = BigInt(dev);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xffff_f000n);
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

/** Whether an error is a system call's with this code, e.g. `ENOENT`. */
export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
