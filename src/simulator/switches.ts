import { SimulatorError } from "./errors.ts";
import { SWITCH_TABLE } from "./switch-table.ts";

type Entry = (typeof SWITCH_TABLE)[number];
type ValueOf<Values extends readonly (string | number)[]> = Values extends readonly [infer Only]
  ? Only extends number
    ? number
    : string
  : Values[number];

/** The values of all switches; `SWITCH_DOCS` explains each. */
export type Switches = { -readonly [E in Entry as E[0]]: ValueOf<E[1]> };

export type SwitchName = keyof Switches;

/** One switch as its documentation shows it. */
export interface SwitchDoc {
  /** The key in `Switches`. */
  readonly key: SwitchName;
  /** The name on the command line and in docs/simulator.md, such as "ready-delay-ms". */
  readonly name: string;
  readonly default: string;
  /** The possible values, or the kind of value. */
  readonly values: readonly string[];
  readonly description: string;
}

/** `readyDelayMs` as `ready-delay-ms`. */
function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** All switches, in the order of the documentation. */
export const SWITCH_DOCS: readonly SwitchDoc[] = SWITCH_TABLE.map(([key, values, description]) => ({
  key,
  name: kebab(key),
  default: String(values[0]),
  values: values.length > 1 ? values : [typeof values[0] === "number" ? "integer, 0 or more" : "any text"],
  description,
})).map((doc) => ({ ...doc, values: doc.values.map(String) }));

/** The values of profile `current`. */
export const DEFAULT_SWITCHES: Readonly<Switches> = Object.freeze(
  Object.fromEntries(SWITCH_TABLE.map(([key, values]) => [key, values[0]])),
) as unknown as Readonly<Switches>;

/**
 * Checks one value and gives it its type.
 * @throws SimulatorError when the switch does not have that value
 */
function checked(key: string, value: unknown): Partial<Switches> {
  const entry = SWITCH_TABLE.find(([name]) => name === key || kebab(name) === key);
  if (entry === undefined) throw new SimulatorError(`the simulator has no switch ${JSON.stringify(key)}`);
  const [name, values] = entry;
  if (typeof values[0] === "number") {
    const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0) {
      throw new SimulatorError(
        `switch ${kebab(name)} needs an integer, 0 or more, not ${JSON.stringify(value)}`,
      );
    }
    return { [name]: number };
  }
  if (typeof value !== "string" || (values.length > 1 && !(values as readonly unknown[]).includes(value))) {
    const wanted = values.length > 1 ? `one of ${values.join(", ")}` : "a text";
    throw new SimulatorError(`switch ${kebab(name)} needs ${wanted}, not ${JSON.stringify(value)}`);
  }
  return { [name]: value };
}

/**
 * Checks values from outside, such as a JSON body; accepts both spellings of a name.
 * @throws SimulatorError naming the first switch or value that does not exist
 */
export function checkSwitches(values: Readonly<Record<string, unknown>>): Partial<Switches> {
  const known = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.assign({}, ...known.map(([key, value]) => checked(key, value)));
}

/**
 * Parses `name=value` of the command line, such as "ready-delay-ms=300".
 * @throws SimulatorError when the switch or the value does not exist
 */
export function parseSimulatorSwitch(text: string): Partial<Switches> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new SimulatorError(`${JSON.stringify(text)} is not of the form name=value`);
  return checked(text.slice(0, equals), text.slice(equals + 1));
}
