import { type Document, isMap, isScalar, isSeq, type YAMLMap, type YAMLSeq } from "yaml";

/** A place in a document: keys, positions, and items of a list by their `name`. */
export type Path = readonly (string | number | { readonly name: string })[];

/** What a marker stands for in the printed text. */
type Marked =
  /** Written in place of the scalar. */
  | { readonly kind: "inline"; readonly action: string }
  /** Written below the key, indented. */
  | { readonly kind: "block"; readonly value: string }
  /** Entries of the map that it stands in. */
  | { readonly kind: "entries"; readonly value: string }
  /** A line of its own. */
  | { readonly kind: "line"; readonly action: string };

/**
 * Manifests that become a template of Helm: values are replaced by actions, items and keys get conditions. Comments stay. The markers
 * within the documents become actions when the text is printed, as YAML has no place for them.
 */
export class Template {
  readonly #documents: readonly Document.Parsed[];
  readonly #marks: Marked[] = [];

  constructor(documents: readonly Document.Parsed[]) {
    this.#documents = documents;
  }

  /** The document of an object. @throws Error when there is none */
  of(kind: string, name: string): Document.Parsed {
    const found = this.#documents.find(
      (each) => each.get("kind") === kind && each.getIn(["metadata", "name"]) === name,
    );
    if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
    return found;
  }

  get documents(): readonly Document.Parsed[] {
    return this.#documents;
  }

  /** Replaces a scalar by an action, which has to print a scalar of YAML. @param action as `{{ … }}`, with text around it if need be */
  inline(document: Document.Parsed, path: Path, action: string): void {
    const at = this.#resolve(document, path);
    if (!document.hasIn(at)) throw new Error(`there is no ${at.join(".")}`);
    document.setIn(at, this.#mark({ kind: "inline", action }));
  }

  /** Replaces an item of a list of texts by an action with text around it. @throws Error when the list lacks it */
  inlineItem(document: Document.Parsed, path: Path, item: string, action: string): void {
    const list = this.#node(document, path);
    const at = list.items.findIndex((each) => isScalar(each) && each.value === item);
    if (at < 0) throw new Error(`there is no ${item}`);
    this.inline(document, [...path, at], action);
  }

  /** A value. */
  get(document: Document.Parsed, path: Path): unknown {
    return document.getIn(this.#resolve(document, path));
  }

  /** Puts a value, a map or a list that is not empty, in the place of a node. @param value an expression, as `.Values.x` */
  block(document: Document.Parsed, path: Path, value: string): void {
    document.setIn(this.#resolve(document, path), this.#mark({ kind: "block", value }));
  }

  /** Puts a key of a map, which a later call fills, before another key. */
  insert(document: Document.Parsed, path: Path, key: string, before: string): void {
    const map = this.#node(document, path) as YAMLMap;
    map.items.splice(positionIn(map, before), 0, document.createPair(key, null));
  }

  /** Writes a key of a map, or an item of a list, under a condition. @param opening as `if …` or `with …` */
  wrap(document: Document.Parsed, path: Path, opening: string): void {
    const at = this.#resolve(document, path);
    const parent = this.#node(document, at.slice(0, -1));
    const last = at.at(-1);
    const [before, behind] = [`{{- ${opening} }}`, "{{- end }}"].map((action) =>
      this.#mark({ kind: "line", action }),
    );
    if (isMap(parent)) {
      const position = positionIn(parent, last);
      parent.items.splice(position + 1, 0, document.createPair(behind, null));
      parent.items.splice(position, 0, document.createPair(before, null));
    } else {
      parent.items.splice(Number(last) + 1, 0, document.createNode(behind));
      parent.items.splice(Number(last), 0, document.createNode(before));
    }
  }

  /** Adds the entries of a value to a map. @param value an expression of a map that may be empty */
  extend(document: Document.Parsed, path: Path, value: string): void {
    const map = this.#node(document, path) as YAMLMap;
    map.items.push(document.createPair(this.#mark({ kind: "entries", value }), null));
  }

  /** The text of the template. @param condition of the whole file; undefined: none */
  print(condition: string | undefined): string {
    const texts = this.#documents.map((each) =>
      this.#expand(each.toString({ lineWidth: 0 }).replace(/^---\n/, "")).trim(),
    );
    const text = `${texts.join("\n---\n")}\n`;
    return condition === undefined ? text : `{{- if ${condition} }}\n${text}{{- end }}\n`;
  }

  #mark(marked: Marked): string {
    return `⟦${this.#marks.push(marked) - 1}⟧`;
  }

  #expand(text: string): string {
    return text
      .split("\n")
      .map((line) => this.#expandLine(line))
      .join("\n");
  }

  #expandLine(line: string): string {
    const [, indent = "", only] = /^( *)(?:- )?⟦(\d+)⟧(?::(?: null)?)?$/.exec(line) ?? [];
    const alone = only === undefined ? undefined : this.#marks[Number(only)];
    if (alone?.kind === "line") return alone.action;
    if (alone?.kind === "entries")
      return `${indent}{{- with ${alone.value} }}{{- toYaml . | nindent ${indent.length} }}{{- end }}`;
    return line.replace(/ ?⟦(\d+)⟧/, (_, number: string) => {
      const found = this.#marks[Number(number)];
      if (found?.kind === "inline") return ` ${found.action}`;
      if (found?.kind !== "block") throw new Error(`not a value: ${line}`);
      // Below a key of an item of a list, too.
      const below = (/^ *(?:- )?/.exec(line)?.[0].length ?? 0) + 2;
      return `\n${" ".repeat(below)}{{- toYaml ${found.value} | nindent ${below} }}`;
    });
  }

  #resolve(document: Document.Parsed, path: Path): (string | number)[] {
    const at: (string | number)[] = [];
    for (const step of path)
      at.push(typeof step === "object" ? this.#position(document, at, step.name) : step);
    return at;
  }

  #position(document: Document.Parsed, path: readonly (string | number)[], name: string): number {
    const list = document.getIn(path);
    const at = isSeq(list) ? list.items.findIndex((each) => isMap(each) && each.get("name") === name) : -1;
    if (at < 0) throw new Error(`there is no ${name} in ${path.join(".")}`);
    return at;
  }

  #node(document: Document.Parsed, path: Path): YAMLMap | YAMLSeq {
    const at = this.#resolve(document, path);
    const found = at.length === 0 ? document.contents : document.getIn(at, true);
    if (!isMap(found) && !isSeq(found)) throw new Error(`${at.join(".")} is neither a map nor a list`);
    return found;
  }
}

/** @throws Error when the map has no such key */
function positionIn(map: YAMLMap, key: unknown): number {
  const at = map.items.findIndex((pair) => (isScalar(pair.key) ? pair.key.value : pair.key) === key);
  if (at < 0) throw new Error(`there is no ${String(key)}`);
  return at;
}
