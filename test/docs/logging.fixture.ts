/** Field names of the tables of docs/logging.md. */
export function documentedFields(page: string): string[] {
  return [...page.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name ?? ""),
  );
}
