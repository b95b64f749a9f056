import { readFile } from "node:fs/promises";
import { parseDocument, stringify } from "yaml";
import { errorCode } from "../domain/error-code.ts";
import type { Stage } from "./experiment.ts";
import { type Result, settledBy, UNANSWERED } from "./run.ts";

/** What a probe has found, as a file: a simulator can behave so, and a controller can refuse what would not work. */
export interface DeviceProfile {
  readonly format: 1;
  /** RFC 3339, UTC. */
  readonly probedAt: string;
  /** Version of rds-csi. */
  readonly probedBy: string;
  readonly stages: readonly Stage[];
  /** Switches of the simulator, by name. */
  readonly switches: Readonly<Record<string, string>>;
  /** Answers by experiment. */
  readonly answers: Readonly<Record<string, { readonly answer: string; readonly came: string }>>;
}

/** A profile file that cannot be used; the message names the file and the place. */
export class ProfileError extends Error {
  override readonly name = "ProfileError";
}

const HEAD = `# Made by \`rds-csi probe\`: what one RDS answered.
# \`rds-csi simulate --profile-file\` behaves so, \`rds-csi controller --device-profile\` refuses what would not work.
`;

/** The profile of results. @param now milliseconds since the epoch @param version of rds-csi */
export function profileOf(
  results: readonly Result[],
  stages: readonly Stage[],
  now: number,
  version: string,
): DeviceProfile {
  const answered = results.filter(({ answer }) => answer.answer !== UNANSWERED);
  return {
    format: 1,
    probedAt: new Date(now).toISOString(),
    probedBy: version,
    stages,
    switches: settledBy(answered),
    answers: Object.fromEntries(
      answered.map(({ experiment, answer: { answer, came } }) => [experiment.id, { answer, came }]),
    ),
  };
}

/** As text for a file. */
export function profileText(profile: DeviceProfile): string {
  return HEAD + stringify(profile, { lineWidth: 0 });
}

const isTexts = (value: unknown): value is Record<string, string> =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((one) => typeof one === "string");

/**
 * Reads the text of a profile file. Unknown keys of later versions are left out.
 * @param where for messages
 * @throws ProfileError
 */
export function parseProfile(text: string, where: string): DeviceProfile {
  const parsed = parseDocument(text, { schema: "failsafe" });
  const [mistake] = parsed.errors;
  if (mistake !== undefined) throw new ProfileError(`${where}: ${mistake.message.split("\n", 1)[0]}`);
  const found = parsed.toJS() as Record<string, unknown> | null;
  if (found?.format !== "1") {
    throw new ProfileError(
      `${where}: format is ${JSON.stringify(found?.format)}, not 1. Make the file with \`rds-csi probe --save\``,
    );
  }
  const { probedAt, probedBy, stages, switches = {}, answers } = found;
  if (!isTexts(switches)) throw new ProfileError(`${where}: switches is no map of texts`);
  return {
    format: 1,
    probedAt: String(probedAt ?? ""),
    probedBy: String(probedBy ?? ""),
    stages: (Array.isArray(stages) ? stages : []) as Stage[],
    switches,
    answers: answersIn(answers, where),
  };
}

/** An answer that is left out would be a premise that nobody has asked for. @throws ProfileError */
function answersIn(found: unknown, where: string): DeviceProfile["answers"] {
  const refuse = (place: string) =>
    new ProfileError(`${where}: ${place}. Make the file with \`rds-csi probe --save\``);
  if (typeof found !== "object" || found === null || Array.isArray(found))
    throw refuse("answers is no map of experiments");
  for (const [id, one] of Object.entries(found)) {
    if (!isTexts(one) || one.answer === undefined || one.came === undefined)
      throw refuse(`answers.${id} has not the texts answer and came`);
  }
  return found as DeviceProfile["answers"];
}

/** Reads a profile file. @throws ProfileError */
export async function readProfile(path: string): Promise<DeviceProfile> {
  try {
    return parseProfile(await readFile(path, "utf8"), path);
  } catch (error) {
    if (error instanceof ProfileError) throw error;
    throw new ProfileError(`${path} cannot be read (${errorCode(error) ?? error})`);
  }
}
