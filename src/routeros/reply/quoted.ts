/** The index of the quote that ends a string, inner quotes being `\"`; undefined when there is none. */
export function closingQuote(body: string, from: number): number | undefined {
  for (let at = from; at < body.length; at++) {
    if (body[at] === "\\") at++;
    else if (body[at] === '"') return at;
  }
  return undefined;
}
