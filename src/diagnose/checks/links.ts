import type { ErrorId } from "../../domain/errors/catalogue.ts";
import { ifKnown, valueOr } from "../../inspect/fact.ts";
import type { Subject } from "../../inspect/finding.ts";
import { endpointText, normalAddress } from "../../nvme/endpoint.ts";
import type { FindingId } from "../catalogue/catalogue.ts";
import type { Gathered } from "../facts.ts";
import type { StorageFacts } from "../probes/storage.ts";
import type { Draft } from "../rank.ts";
import type { VolumeCase } from "../volume-case.ts";

/** A TCP connect that takes longer is slow, milliseconds: it was repeated at least once. */
const SLOW_MS = 1_000;
const USUAL_MTU = 1_500;

/** Findings about the way to the storage addresses. */
export function checkStorage({ config, facts }: Gathered): readonly Draft[] {
  const { storage } = facts;
  if (config.dataPath !== "nvme-tcp") return [];
  if (storage.state === "unknown" && storage.notAsked) {
    const subject: Subject = { kind: "node", name: config.nodeId };
    return [{ id: "storage-address-unknown", subject, evidence: [storage.reason] }];
  }
  return valueOr(storage, []).flatMap(storageDrafts);
}

/** What names an address that no volume of this node uses yet. */
const CONFIGURED_SOURCE = "nvme-address";

function storageDrafts(storage: StorageFacts): readonly Draft[] {
  const { reach, route, sources } = storage;
  const address = endpointText(storage);
  const draft = (id: FindingId, evidence: readonly string[]): Draft => ({
    id,
    subject: { kind: "address", name: address },
    address,
    evidence,
  });
  const way = [`named by ${sources.join(" and ")}`, routeText(storage)];
  if (reach.kind === "reached") {
    const drafts: Draft[] = [];
    if (reach.milliseconds >= SLOW_MS) {
      drafts.push(draft("storage-slow", [`TCP connect took ${reach.milliseconds} ms`, ...way]));
    }
    if (route.mtu !== undefined && route.mtu < USUAL_MTU) drafts.push(draft("storage-mtu-small", way));
    return drafts;
  }
  if (reach.kind === "failed" && reach.code === "ECONNREFUSED") {
    // Nothing need listen before the first volume is exported.
    if (sources.every((source) => source === CONFIGURED_SOURCE)) return [];
    return [draft("storage-port-refused", [`TCP connect to ${address}: ECONNREFUSED`, ...way])];
  }
  const said =
    reach.kind === "failed"
      ? `TCP connect to ${address}: ${reach.code}`
      : `TCP connect to ${address}: no answer within ${Math.round(reach.milliseconds / 100) / 10} s`;
  if ((reach.kind === "failed" && reach.code === "ENETUNREACH") || route.interface === undefined) {
    return [draft("storage-route-missing", [said, ...way])];
  }
  const down = route.state === "down" || route.state === "lowerlayerdown";
  return [draft(down ? "storage-interface-down" : "storage-unreachable", [said, ...way])];
}

/** `route: eth1, MTU 9000, up`. */
export function routeText({ route }: Pick<StorageFacts, "route">): string {
  if (route.interface === undefined) return "route: none in the main table";
  const via = route.gateway === undefined ? "" : ` via ${route.gateway}`;
  const state = route.state === undefined || route.state === "unknown" ? "" : `, ${route.state}`;
  return `route: ${route.interface}${via}, MTU ${route.mtu ?? "unknown"}${state}`;
}

/** Which finding an error of the link to the RDS is. */
const RDS_FAILURES: Readonly<Partial<Record<ErrorId, FindingId>>> = {
  authenticationFailed: "rds-key-refused",
  userKeyUnusable: "rds-key-unusable",
  hostKeysUnusable: "rds-key-unusable",
  hostKeyMismatch: "rds-host-key-mismatch",
  rdsUnreachable: "rds-unreachable",
  versionTooOld: "rds-version-too-old",
  permissionDenied: "rds-permission-missing",
};

/** Findings about the RDS: whether it answers, and its pools. */
export function checkRds({ config, facts }: Gathered): readonly Draft[] {
  const { rds } = facts;
  if (rds.state !== "unknown" || rds.notAsked) return [];
  const host = config.rds.state === "known" ? config.rds.value.host : undefined;
  const subject: Subject = { kind: "rds", name: host ?? "the RDS" };
  if (config.rds.state === "unknown") return [{ id: "rds-key-unusable", subject, evidence: [rds.reason] }];
  const id =
    RDS_FAILURES[rds.error?.id ?? "internal"] ?? (rds.late ? "rds-unreachable" : "rds-not-understood");
  const storage = valueOr(facts.storage, []);
  const same = storage.some(
    ({ address }) => host !== undefined && normalAddress(address) === normalAddress(host),
  );
  // An unreachable storage address explains an unreachable RDS only if they are the same address.
  return [{ id, subject, address: same ? undefined : `${host} over SSH`, evidence: [rds.reason] }];
}

/** The items of pools that are not mounted: of the configured pool, and of those that volumes of this node are on. */
export function checkPools({ config, facts }: Gathered, cases: readonly VolumeCase[]): readonly Draft[] {
  const items = ifKnown(facts.rds)?.pools ?? [];
  const missed = cases.flatMap(({ handle, findings }) =>
    findings.flatMap(({ id, subject }) =>
      id === "pool-not-mounted" ? [{ pool: subject.name, handle }] : [],
    ),
  );
  const configured = items.filter(({ slot, mounted }) => slot === config.pool && !mounted);
  const names = new Set([...configured.map(({ slot }) => slot), ...missed.map(({ pool }) => pool)]);
  return [...names].map((name): Draft => {
    const item = items.find(({ slot }) => slot === name);
    const { type, fs, state } = item ?? {};
    const seen =
      item === undefined
        ? `the RDS has no disk item ${name}`
        : `${name}: type ${type || "unknown"}, filesystem ${fs || "unknown"}, state ${state || "unknown"}, not mounted`;
    const on = missed
      .filter(({ pool }) => pool === name)
      .map(({ handle }) => `${handle} of this node is on it`);
    return { id: "pool-not-mounted", subject: { kind: "pool", name }, evidence: [seen, ...on] };
  });
}
