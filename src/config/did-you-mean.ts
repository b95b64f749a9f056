/** Most letters that a slip may change: a third of the word, and three. */
const most = (word: string): number => Math.min(3, Math.ceil(word.length / 3));

const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_]/g, "");

/** The known word that somebody meant who wrote an unknown one, by edit distance without case, `-` and `_`; undefined: none is near. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const distances = [...known].map((name) => ({ name, distance: distance(plain(word), plain(name)) }));
  const [nearest] = distances.sort((a, b) => a.distance - b.distance);
  return nearest !== undefined && nearest.distance <= most(word) ? nearest.name : undefined;
}

/** Levenshtein distance: letters added, removed or replaced. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const above = row;
    row = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (letter === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
  }
  return row.at(-1) ?? 0;
}
