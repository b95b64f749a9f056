/** The switches of the simulator that no experiment settles, each with the reason. */
export const UNTOLD: Readonly<Record<string, string>> = {
  "interleaving-seed": "of the simulator alone",
  "pool-unmounted": "a pool would have to be unmounted",
  "no-space": "a pool would have to be filled",
  "no-space-text": "a pool would have to be filled",
  copy: "a copy of 16 MiB is over before a second look",
  "copy-sparse": "holes show only in a pool of sparse files",
  "copy-ms": "a figure that depends on the size",
  "copy-in-use": "a copy of 16 MiB is over before its disk could be removed",
  "reboot-ms": "a figure",
  "mount-delay-ms": "a figure",
};
