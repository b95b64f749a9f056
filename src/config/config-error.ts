import { sentence } from "../domain/sentence.ts";

/** One thing that is wrong with the configuration. */
export interface Mistake {
  /** Where: `--rds-address`, `RDS_CSI_RDS_ADDRESS`, `key rds-address in /etc/x.yaml`. */
  readonly where: string;
  readonly problem: string;
  readonly remedy: string;
}

/** Every mistake of a configuration at once; exit code 2. */
export class ConfigError extends Error {
  readonly mistakes: readonly Mistake[];
  readonly place: string;

  /** @param place where the mistakes are, for people */
  constructor(mistakes: readonly Mistake[], place = "configuration") {
    super(
      mistakes
        .map(({ where, problem, remedy }) => `${sentence(`${where} ${problem}`)} ${sentence(remedy)}`)
        .join("\n"),
    );
    this.name = "ConfigError";
    this.mistakes = mistakes;
    this.place = place;
  }
}
