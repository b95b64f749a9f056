/** A mutant that no test can notice. */
export interface Explanation {
  /** As `scripts/mutate` prints it. */
  readonly key: string;
  readonly why: string;
}

/** The survivors, each with the reason. An entry without a mutant fails the run. */
export const EXPLAINED: readonly Explanation[] = [
  ...because("a path on the RDS never begins with a slash (diskFromRow)", [
    'src/rds/place.ts poolAt: mounted && mountPoint !== "" → mounted',
    'src/rds/place.ts poolAt: "" → "mutant"',
  ]),
  ...because("split() always gives a first part", [
    'src/rds/place.ts awayName: mountPointIn(disk.filePath, directory, id) ?? disk.filePath.split("/", 1)[0] ?? disk.filePath → mountPointIn(disk.filePath, directory, id) ?? disk.filePath.split("/", 1)[0]',
    "src/rds/place.ts awayName: 1 → (1 + 1)",
  ]),
  ...because("equal reads share a reply by their condition, which is part of the key beside this text", [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a source text
    'src/rds/remove.ts findLeftover: `leftover:${id}` → ""',
  ]),
];

function because(why: string, keys: readonly string[]): readonly Explanation[] {
  return keys.map((key) => ({ key, why }));
}
