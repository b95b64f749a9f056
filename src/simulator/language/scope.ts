import type { Value } from "./values.ts";

/** The properties of one item, for a `where`. Absent properties are absent keys. */
export type Row = ReadonlyMap<string, Value>;

/** Variables by block; an inner block sees the outer ones. */
export class Scope {
  readonly #variables = new Map<string, Value>();
  readonly #parent: Scope | undefined;
  readonly row: Row | undefined;

  constructor(parent?: Scope, row?: Row) {
    this.#parent = parent;
    this.row = row ?? parent?.row;
  }

  declare(name: string, value: Value): void {
    this.#variables.set(name, value);
  }

  /** The variable's value; an unknown one is nothing, as in RouterOS. */
  get(name: string): Value {
    return this.#variables.has(name) ? this.#variables.get(name) : this.#parent?.get(name);
  }

  /** Changes the nearest declaration; false when there is none. */
  set(name: string, value: Value): boolean {
    if (!this.#variables.has(name)) return this.#parent?.set(name, value) ?? false;
    this.#variables.set(name, value);
    return true;
  }
}
