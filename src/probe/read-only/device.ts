import { ros } from "../../routeros/script.ts";
import type { Bench } from "../bench.ts";
import { type Answer, type Experiment, fact, handled, shown, unclear } from "../experiment.ts";

/** The first version with `nvme-tcp-server-nqn`. */
const MINIMUM: readonly [number, number] = [7, 21];

async function version(bench: Bench): Promise<Answer> {
  const [text, board, architecture] = [
    await bench.value(ros`[/system/resource/get version]`),
    await bench.value(ros`[/system/resource/get board-name]`),
    await bench.value(ros`[/system/resource/get architecture-name]`),
  ];
  const came = `${shown(text)} on ${shown(board)} (${shown(architecture)})`;
  const [major, minor] = /^(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  if (major === undefined || minor === undefined) return unclear(came);
  const isOld = major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1]);
  return { answer: isOld ? "too-old" : "supported", came, switches: { version: text } };
}

const NEEDED = ["ssh", "read", "write", "test"];

async function policies(bench: Bench): Promise<Answer> {
  const name = bench.settings.connection.user.replace(/\+.*$/, "");
  const group = await bench.value(ros`[/user/get [find where name=${name}] group]`);
  const text = await bench.value(ros`[/user/group/get [find where name=${group}] policy]`);
  const has = text.split(/[,;]/).map((word) => word.trim());
  const missing = NEEDED.filter((policy) => !has.includes(policy));
  const more = has.filter((policy) => !NEEDED.includes(policy) && !policy.startsWith("!") && policy !== "");
  const came = `user ${name}, group ${group}: ${has.filter((policy) => !policy.startsWith("!")).join(", ")}`;
  // Whoever has `test` cannot see whether it is needed.
  const isReadable = await bench.value(ros`[/system/resource/get version]`).then(
    () => true,
    () => false,
  );
  const switches = has.includes("test") ? {} : { "resource-policy": isReadable ? "read" : "test" };
  if (missing.length > 0)
    return { answer: "missing", came: `${came}; missing ${missing.join(", ")}`, switches };
  return { answer: more.length > 0 ? "more" : "enough", came, switches };
}

/** Seconds by which the clock of the RDS may differ. */
const CLOCK_SECONDS = 60;

/** `+05:45` from the text or the number of seconds that RouterOS shows; undefined for anything else. */
export function offsetOf(text: string): string | undefined {
  if (/^[+-]\d\d:\d\d$/.test(text)) return text;
  if (!/^-?\d{1,10}$/.test(text)) return undefined;
  // As an unsigned number of 32 bits on some versions.
  const seconds = Number(text) > 2 ** 31 ? Number(text) - 2 ** 32 : Number(text);
  const minutes = Math.abs(seconds) / 60;
  if (!Number.isInteger(minutes) || minutes > 14 * 60) return undefined;
  const two = (value: number) => String(value).padStart(2, "0");
  return `${seconds < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

async function clock(bench: Bench): Promise<Answer> {
  const before = bench.clock.now();
  const nanoseconds = await bench.value(ros`[:tonsec [:timestamp]]`);
  const after = bench.clock.now();
  const zone = await bench.value(ros`[/system/clock/get gmt-offset]`).catch(() => "");
  const offset = offsetOf(zone);
  const settled = offset === undefined ? {} : { switches: { "gmt-offset": offset } };
  if (!/^\d+$/.test(nanoseconds)) return { ...unclear(`:timestamp gives ${shown(nanoseconds)}`), ...settled };
  const ms = Number(BigInt(nanoseconds) / 1_000_000n);
  const ahead = ms > after ? ms - after : Math.min(0, ms - before);
  const came = `${(ahead / 1_000).toFixed(1)} s ahead of this machine; zone ${offset ?? `not known (${shown(zone)})`}`;
  return { answer: Math.abs(ahead) > CLOCK_SECONDS * 1_000 ? "differs" : "right", came, ...settled };
}

async function sessions(bench: Bench): Promise<Answer> {
  const text = await bench.value(ros`[/ip/service/get [find where name="ssh"] max-sessions]`);
  if (!/^\d+$/.test(text)) return unclear(shown(text));
  const answer = Number(text) < 10 ? "few" : "enough";
  return { answer, came: `max-sessions=${text}`, switches: { "max-sessions": text } };
}

async function fileSearch(bench: Bench): Promise<Answer> {
  const counted = await bench.value(ros`[:len [/file/find]]`);
  const told = await bench.tell(ros`:local f [/file/find where name="csi-probe/none"]`);
  if (!told.ok) return unclear(told.text);
  const came = `one of ${counted} files in ${Math.round(told.tookMs)} ms`;
  return { answer: told.tookMs > 2_000 ? "slow" : "fast", came };
}

async function hostKey(bench: Bench): Promise<Answer> {
  const type = await bench.value(ros`[/ip/ssh/get host-key-type]`);
  const came = shown(type);
  if (type !== "rsa" && type !== "ed25519") return unclear(came);
  return { answer: type, came };
}

/** The device and the user. */
export const DEVICE: readonly Experiment[] = [
  {
    id: "host-key",
    stage: "read-only",
    question: "Of which type is the host key?",
    does: "reads `/ip/ssh`",
    answers: {
      ed25519: handled("The driver takes Ed25519 and RSA keys."),
      rsa: handled("The driver takes Ed25519 and RSA keys."),
    },
    settles: [],
    limitMs: 30_000,
    ask: hostKey,
  },
  {
    id: "version",
    stage: "read-only",
    question: "Which RouterOS, on which board?",
    does: "reads the version",
    answers: {
      supported: handled("The driver supports this version."),
      "too-old": {
        weight: "unsafe",
        driver:
          "Exports have no NQN of their own before 7.21. The driver refuses this device; update RouterOS.",
      },
    },
    settles: ["version"],
    limitMs: 40_000,
    ask: version,
  },
  {
    id: "policies",
    stage: "read-only",
    question: "Which rights has the user?",
    does: "reads the user's group",
    answers: {
      enough: handled("Just the four that the driver needs."),
      more: {
        weight: "limits",
        driver: "More than the driver needs: ssh, read, write, test. Give the user a group of its own.",
      },
      missing: {
        weight: "unsafe",
        driver: "The driver fails without them. Give the group ssh, read, write and test.",
      },
    },
    settles: ["resource-policy"],
    limitMs: 60_000,
    ask: policies,
  },
  {
    id: "clock",
    stage: "read-only",
    question: "Is the clock right, and which zone has it?",
    does: "reads the time",
    answers: {
      right: handled("The driver's times fit those of the cluster."),
      differs: {
        weight: "limits",
        driver: "Times of snapshots differ from the cluster's. Give the RDS an NTP server.",
      },
    },
    settles: ["gmt-offset"],
    limitMs: 40_000,
    ask: clock,
  },
  {
    id: "sessions",
    stage: "read-only",
    question: "How many SSH sessions may there be?",
    does: "reads `/ip/service`",
    answers: {
      enough: fact("Each controller uses up to four, each command line one."),
      few: { weight: "limits", driver: "Two controllers use up to eight. Raise max-sessions." },
    },
    settles: ["max-sessions"],
    limitMs: 30_000,
    ask: sessions,
  },
  {
    id: "file-search",
    stage: "read-only",
    question: "How long does `/file/find` take?",
    does: "counts the files, and looks for one that does not exist",
    answers: {
      fast: handled("CreateVolume and DeleteVolume look for one file each."),
      slow: {
        weight: "limits",
        driver: "CreateVolume and DeleteVolume wait for it. Keep other files off the pool.",
      },
    },
    settles: [],
    limitMs: 60_000,
    ask: fileSearch,
  },
];
