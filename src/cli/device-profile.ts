import { ConfigError } from "../config/config-error.ts";
import { Premises } from "../domain/premises.ts";
import type { Logger } from "../observability/log.ts";
import { type DeviceProfile, ProfileError, readProfile } from "../probe/device-profile.ts";
import { failedPremises, openPremises, unknownAnswers, unsafeAnswers } from "../probe/premises.ts";

const WHERE = "--device-profile";

/** Reads a profile file that an option names. @throws ConfigError */
export async function usableProfile(option: string, path: string): Promise<DeviceProfile> {
  return await readProfile(path).catch((error: unknown) => {
    if (!(error instanceof ProfileError)) throw error;
    const remedy = "Name a file that `rds-csi probe --save` of this version has made";
    throw new ConfigError([{ where: option, problem: `is not usable: ${error.message}`, remedy }]);
  });
}

/**
 * The premises of a controller from its --device-profile. What the file leaves open is logged.
 * @throws ConfigError for a file that cannot be used, also as an answer is unknown here, and for a device on which the driver must not run
 */
export async function readPremises(
  { deviceProfile, fencing }: { readonly deviceProfile: string | undefined; readonly fencing: string },
  logger: Logger,
): Promise<{ readonly premises: Premises; readonly profile: DeviceProfile | undefined }> {
  if (deviceProfile === undefined) return { premises: Premises.unasked, profile: undefined };
  const profile = await usableProfile(WHERE, deviceProfile);
  const mistakes = unsafeAnswers(profile).map(({ experiment, came, driver }) => ({
    where: `${WHERE}, answer ${experiment} (${came})`,
    problem: "makes the driver unsafe on this RDS",
    remedy: `${driver} After a change of the RDS: run \`rds-csi probe --save\` again`,
  }));
  for (const answer of unknownAnswers(profile))
    mistakes.push({
      where: WHERE,
      problem: `has an answer that this version does not know: ${answer}`,
      remedy: "Make the file with `rds-csi probe --save` of this version",
    });
  const failed = failedPremises(profile);
  const premises = new Premises(failed);
  const hosts = premises.against("allow-list");
  if (fencing === "epoch+hosts" && hosts !== undefined) {
    const problem = `is epoch+hosts, which this RDS cannot do: ${hosts.experiment} is ${hosts.answer} (${hosts.came})`;
    mistakes.push({ where: "--fencing", problem, remedy: "Set it to epoch" });
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  const { probedAt, probedBy } = profile;
  logger.info("device profile", {
    file: deviceProfile,
    probedAt,
    probedBy,
    ruledOut: failed.map(({ feature }) => feature),
  });
  const { open, unknown } = openPremises(profile);
  if (open.length > 0 || unknown.length > 0)
    logger.warn("the device profile leaves premises open: nothing refuses their features", { open, unknown });
  return { premises, profile };
}
