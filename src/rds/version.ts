import { orAborted } from "../domain/abort.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { payload } from "../routeros/envelope.ts";
import { ros } from "../routeros/script.ts";
import type { Purpose } from "../routeros/transport/transport.ts";
import { type RdsContext, runChecked } from "./context.ts";

/** A RouterOS version; a pre-release counts as its release. */
export interface RouterOsVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  readonly text: string;
}

/** The first version with `nvme-tcp-server-nqn`. */
export const MINIMUM_VERSION = "7.21";

/**
 * Reads the output of `/system/resource/get version`, e.g. `7.24.5 (stable)` or `7.26beta4 (development)`.
 * @returns undefined when it has another form
 */
export function parseVersion(text: string): RouterOsVersion | undefined {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?(?:(?:alpha|beta|rc)\d+)?\b/.exec(text.trim());
  if (match === null) return undefined;
  return {
    major: Number(match[1]),
    minor: Number(match[2]),
    patch: Number(match[3] ?? 0),
    text: text.trim(),
  };
}

/**
 * Refuses devices that cannot export a disk under a chosen NQN.
 * @throws versionTooOld (FAILED_PRECONDITION), or replyUnreadable when the text is not a version
 */
export function requireSupported(text: string): RouterOsVersion {
  const version = parseVersion(text);
  if (version === undefined) {
    throw failure("replyUnreadable", {
      what: "read the RouterOS version",
      detail: JSON.stringify(text.slice(0, 80)),
    });
  }
  if (version.major < 7 || (version.major === 7 && version.minor < 21)) {
    throw failure("versionTooOld", { version: version.text, minimum: MINIMUM_VERSION });
  }
  return version;
}

/** The version of the device, asked once and remembered. */
export class DeviceVersion {
  readonly #context: RdsContext;
  #known: RouterOsVersion | undefined;
  /** Callers of a lane share its question: an attach does not wait for one that stands behind other reads. */
  readonly #asked = new Map<Purpose, Promise<RouterOsVersion>>();

  constructor(context: RdsContext) {
    this.#context = context;
  }

  /** Makes the next caller ask again. */
  forget(): void {
    this.#known = undefined;
    this.#asked.clear();
  }

  /** No RouterOS command once it is known. A failure is forgotten. @throws as readVersion */
  async get(signal: AbortSignal, lane: Purpose): Promise<RouterOsVersion> {
    if (this.#known !== undefined) return this.#known;
    // Callers share the answer, so the question does not end with the first of them.
    const asked = this.#asked.get(lane) ?? readVersion(this.#context, new AbortController().signal, lane);
    this.#asked.set(lane, asked);
    const answered = (version: RouterOsVersion | undefined): void => {
      if (this.#asked.get(lane) !== asked) return;
      this.#asked.delete(lane);
      this.#known = version ?? this.#known;
    };
    asked.then(answered, () => answered(undefined));
    return orAborted(asked, signal);
  }
}

/** Asks the device for its version. One RouterOS command. @throws as requireSupported */
async function readVersion(
  context: RdsContext,
  signal: AbortSignal,
  lane: Purpose,
): Promise<RouterOsVersion> {
  const result = await runChecked(context, {
    what: "read the RouterOS version",
    purpose: "read",
    lane,
    // Calls wait for it, also if a background job was the first to ask.
    priority: "interactive",
    body: () => payload("version", ros`[/system/resource/get version]`),
    signal,
  });
  const version = requireSupported(result.reply.flat("version") ?? "");
  context.logger.info("RDS connected", { address: context.client.address, version: version.text });
  return version;
}
