/** The RouterOS commands of the earlier Go driver, word by word, and the forms of its names. */

const UNITS = [
  ["T", 40n],
  ["G", 30n],
  ["M", 20n],
  ["K", 10n],
] as const;

/** A size as the earlier driver sends it: rounded down to the largest unit that fits. */
function flooredSize(bytes: bigint): string {
  const [unit, shift] = UNITS.find(([, bits]) => bytes >= 1n << bits) ?? ["K", 10n];
  return `${bytes >> shift}${unit}`;
}

/** The folder of its volumes, which a person makes for it. */
export const EARLIER_FOLDER = "storage-pool/kubernetes-volumes";

/** The NQN that it gives each volume, for ever. */
export const earlierNqn = (handle: string): string => `nqn.2000-02.com.mikrotik:${handle}`;

/** Its commands. Each returns the line. */
export const EARLIER = {
  create: (handle: string, bytes: bigint) =>
    `/disk add type=file file-path=/${EARLIER_FOLDER}/${handle}.img file-size=${flooredSize(bytes)} slot=${handle} nvme-tcp-export=yes nvme-tcp-server-port=4420 nvme-tcp-server-nqn=${earlierNqn(handle)}`,
  look: (handle: string) => `/disk print detail where slot=${handle}`,
  resize: (handle: string, bytes: bigint) =>
    `/disk set [find slot=${handle}] file-size=${flooredSize(bytes)}`,
  removeDisk: (handle: string) => `/disk remove [find slot=${handle}]`,
  removeFile: (handle: string) => `/file remove [find name="${EARLIER_FOLDER}/${handle}.img"]`,
} as const;

/** Makes the folder, as a person does. */
export const MAKE_EARLIER_FOLDER = [
  `/disk add type=file file-path=${EARLIER_FOLDER}/x.img file-size=1M slot=first`,
  "/disk remove [find slot=first]",
  `/file remove [find name="${EARLIER_FOLDER}/x.img"]`,
] as const;

/** Whether the answer to `look` says ready: it takes a file disk that is exported for ready, and anything else not. */
export function saysReady(answer: string, handle: string): boolean {
  const joined = answer.replaceAll(/\s+/g, " ");
  return ["type=file", "nvme-tcp-export=yes", `slot="${handle}"`].every((each) => joined.includes(each));
}

/** Its way to tell a failure. @throws Error with line and answer */
export function requireDone(
  line: string,
  answer: { readonly stdout: string; readonly stderr: string; readonly code: number | undefined },
): string {
  const text = `${answer.stdout}${answer.stderr}`;
  if (answer.code !== 0 || /failure|error|bad command|expected/.test(text))
    throw new Error(`${line}: ${text}`);
  return text;
}
