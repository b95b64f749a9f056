import { Script } from "../script.ts";

const PROPERTY = /^\.?[a-z][a-z0-9-]{0,40}$/;

/** A property's name as code; checked, as it stands unquoted. */
export function propertyName(property: string): Script {
  if (!PROPERTY.test(property)) throw new RangeError(`bad property name ${JSON.stringify(property)}`);
  return Script.fromTemplate([property], []);
}
