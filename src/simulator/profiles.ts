import type { Switches } from "./switches.ts";

export type ProfileName = "current" | "hostile" | "strict" | "old" | "too-old";

export interface Profile {
  readonly description: string;
  /** The values that differ from the defaults. */
  readonly switches: Readonly<Partial<Switches>>;
}

/** The profiles of facts section 9.4. */
export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  current: { description: "RouterOS 7.24.5, the most likely behaviour everywhere", switches: {} },
  hostile: {
    description: "every unknown at its most inconvenient: wrapped output, late devices, busy errors",
    switches: {
      wrapWidth: 80,
      wrapPut: "yes",
      readyDelayMs: 300,
      connectedHosts: "busy",
      revokedHost: "stays",
      renamedExport: "stays",
      reExport: "coalesced",
      interleaving: "statements",
      subvolumeRemoval: "dead",
      deadName: "taken",
      snapshotParent: "name",
      fullnameSlash: "with",
      gmtOffset: "+05:45",
      fileRemoveInUse: "error",
      noSpace: "file-left",
      falseFlags: "false",
      proplist: "without-flags",
      missingItem: "internal-number",
      unknownCommand: "catchable",
      parallelChannels: "second-blocks",
      clientDisconnect: "aborted",
      detailComment: "inline",
      rebootExports: "lost",
      mountDelayMs: 200,
    },
  },
  strict: {
    description: "errors with exit status 1 on stderr, plain line feeds, two channels on a connection",
    switches: {
      exitOnRuntimeError: 1,
      exitOnParseError: 1,
      errorStream: "stderr",
      lineEnding: "lf",
      onerrorSuffix: "none",
      unknownArgument: "expected-end",
      unknownCommand: "whole-line",
      duplicateNqn: "error",
      maxChannels: 2,
      subvolumeRemoval: "dead",
      deadFullname: "absent",
      snapshotParent: "fullname",
      gmtOffset: "-08:00",
      detailComment: "inline",
    },
  },
  old: {
    description:
      "RouterOS 7.21, the oldest supported: no trim, no SMART, no /file/copy; one channel at a time",
    switches: { version: "7.21 (stable)", parallelChannels: "second-unconfirmed" },
  },
  "too-old": {
    description: "RouterOS 7.20, without nvme-tcp-server-nqn: the driver must refuse it",
    switches: { version: "7.20 (stable)" },
  },
};
