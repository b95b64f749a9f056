import { Buffer } from "node:buffer";
import { type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { failure } from "../../domain/errors/driver-error.ts";
import { checkLength, NAME_LIMIT, requireName } from "../fields.ts";
import type { Interceptor } from "../rpc.ts";
import { isSecret } from "./redact-message.ts";

/** Bytes of all keys and values of one map, and of all mount flags together (CSI, "Size Limits"). */
const MAP_LIMIT = 4_096;
/** Longest path in bytes: Linux PATH_MAX. */
const PATH_LIMIT = 4_096;
/**
 * Identifiers in bytes: CSI allows 256 for node ids. Volume and snapshot ids get the same room, since a handle that is
 * not ours means "does not exist" and not "invalid".
 */
const ID_LIMIT = 256;

const LIMITS: Readonly<Record<string, number>> = {
  volume_id: ID_LIMIT,
  source_volume_id: ID_LIMIT,
  snapshot_id: ID_LIMIT,
  node_id: ID_LIMIT,
  staging_target_path: PATH_LIMIT,
  target_path: PATH_LIMIT,
  volume_path: PATH_LIMIT,
  volume_publish_path: PATH_LIMIT,
  // Not ours means ABORTED for a token, which its reader decides.
  starting_token: MAP_LIMIT,
};

/** RPCs whose `name` is the idempotency key and has rules of its own. */
const NAMED: ReadonlySet<string> = new Set(["CreateVolume", "CreateSnapshot", "CreateVolumeGroupSnapshot"]);

/**
 * Refuses requests that exceed the sizes of the CSI specification, before any work: INVALID_ARGUMENT (fieldTooLong) with
 * the field's path. Secrets are not measured, as this driver ignores them.
 */
export const sizeLimitInterceptor: Interceptor = async (call, next) => {
  if (!call.offered) return next(call);
  checkSizes(call.method.input, call.request);
  if (NAMED.has(call.context.method)) {
    const { name } = call.request as unknown as { readonly name: string };
    requireName("name", name);
  }
  return next(call);
};

/** @throws fieldTooLong (INVALID_ARGUMENT) naming the field, e.g. `volume_capabilities[0].mount.fs_type` */
export function checkSizes(schema: DescMessage, message: Message): void {
  check(reflect(schema, message), "");
}

function check(message: ReflectMessage, prefix: string): void {
  for (const field of message.fields) {
    if (!message.isSet(field) || isSecretMap(field)) continue;
    const path = `${prefix}${field.name}`;
    switch (field.fieldKind) {
      case "scalar":
        if (field.scalar === ScalarType.STRING) {
          checkLength(path, message.get(field) as string, LIMITS[field.name] ?? NAME_LIMIT);
        }
        break;
      case "message":
        check(message.get(field), `${path}.`);
        break;
      case "map":
        checkTotal(path, [...message.get(field)].flat());
        break;
      case "list": {
        const list = [...message.get(field)];
        if (field.listKind === "scalar") checkTotal(path, list);
        if (field.listKind === "message") {
          for (const [index, each] of list.entries()) check(each as ReflectMessage, `${path}[${index}].`);
        }
        break;
      }
    }
  }
}

function checkTotal(path: string, texts: readonly unknown[]): void {
  const bytes = texts.reduce<number>((sum, text) => sum + Buffer.byteLength(String(text), "utf8"), 0);
  if (bytes > MAP_LIMIT) throw failure("fieldTooLong", { field: path, bytes, limit: MAP_LIMIT });
}

function isSecretMap(field: ReflectMessage["fields"][number]): boolean {
  return field.fieldKind === "map" && isSecret(field);
}
