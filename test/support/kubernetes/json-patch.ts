import { isDeepStrictEqual } from "node:util";
import type { KubeObject } from "./objects.ts";
import { StatusError } from "./store.ts";

/**
 * JSON patch (RFC 6902): test, add, replace and remove, all or none.
 * @throws StatusError 422 when a test fails or a place does not exist, as the API server answers
 */
export function jsonPatch(target: KubeObject, operations: readonly KubeObject[]): KubeObject {
  const result = structuredClone(target);
  for (const { op, path, value } of operations) {
    const keys = String(path)
      .split("/")
      .slice(1)
      .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop() ?? "";
    const parent = keys.reduce((node: KubeObject, key) => node?.[key], result);
    if (parent === null || typeof parent !== "object") throw refused(`no such place: ${path}`);
    if (op === "add") {
      if (Array.isArray(parent)) parent.splice(last === "-" ? parent.length : Number(last), 0, value);
      else parent[last] = value;
      continue;
    }
    if (!(last in parent)) throw refused(`no such place: ${path}`);
    if (op === "test") {
      if (!isDeepStrictEqual(parent[last], value)) throw refused(`testing value ${path} failed`);
    } else if (op === "replace") parent[last] = value;
    else if (op !== "remove") throw new StatusError(400, "BadRequest", `unknown operation ${op}`);
    else if (Array.isArray(parent)) parent.splice(Number(last), 1);
    else delete parent[last];
  }
  return result;
}

function refused(message: string): StatusError {
  return new StatusError(
    422,
    "Invalid",
    `the server rejected our request due to an error in our request: ${message}`,
  );
}
