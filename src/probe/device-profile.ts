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

/** As text for a file. It begins with the number of its answers, so that a file that was cut is noticed. */
export function profileText({ format, ...rest }: DeviceProfile): string {
  const answered = Object.keys(rest.answers).length;
  return HEAD + stringify({ format, answered, ...rest }, { lineWidth: 0 });
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
  const refuse = (problem: string) => new ProfileError(`${where}: ${problem}`);
  const parsed = parseDocument(text, { schema: "failsafe" });
  const [mistake] = parsed.errors;
  if (mistake !== undefined)
    throw refuse(mistake.message.split("\n", 1)[0]?.replace(/:$/, "") ?? "is no YAML");
  const found = parsed.toJS() as Record<string, unknown> | null;
  if (found?.format === undefined) throw refuse("has no key format, so it is no device profile");
  if (found.format !== "1") throw refuse(`format is ${JSON.stringify(found.format)}; this version reads 1`);
  const { probedAt, probedBy, stages, switches = {}, answers, answered } = found;
  if (!isTexts(switches)) throw refuse("switches is no map of texts");
  if (!isAnswers(answers, refuse)) throw refuse("answers is no map of experiments");
  const count = Object.keys(answers).length;
  // A controller that takes an empty file for a device without a fault would promise what the device cannot do.
  if (count === 0) throw refuse("answers is empty: the file is not whole");
  if (answered !== undefined && answered !== String(count))
    throw refuse(`holds ${count} answers, and answered says ${answered}: the file is not whole`);
  return {
    format: 1,
    probedAt: String(probedAt ?? ""),
    probedBy: String(probedBy ?? ""),
    stages: (Array.isArray(stages) ? stages : []) as Stage[],
    switches,
    answers,
  };
}

/** Whether it is a map. An answer that is left out would be a premise that nobody has asked for. @throws what `refuse` makes of a damaged answer */
function isAnswers(
  found: unknown,
  refuse: (problem: string) => ProfileError,
): found is DeviceProfile["answers"] {
  if (typeof found !== "object" || found === null || Array.isArray(found)) return false;
  for (const [id, one] of Object.entries(found)) {
    if (!isTexts(one) || one.answer === undefined || one.came === undefined)
      throw refuse(`answers.${id} needs the texts answer and came`);
  }
  return true;
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
