import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { Finding } from "../../inspect/finding.ts";
import type { ListedVolume } from "./model.ts";

/** 2026-03-01T12:00:00Z in milliseconds. */
export const NOW = Date.UTC(2026, 2, 1, 12);
const GIB = 1n << 30n;

/** An attachment to a node, an hour old. */
export const attachedTo = (node: string): ListedVolume["nodes"][number] => ({
  node,
  since: "2026-03-01T11:00:00Z",
  accessMode: "SINGLE_NODE_WRITER",
  readonly: false,
});

/** A finding; by default an error. */
export const finding = (id: string, text: string, more: Partial<Finding> = {}): Finding => ({
  ...{ id, severity: "error", title: text, about: undefined, remedy: "Look at it." },
  ...{ subject: { kind: "volume", name: "v" }, evidence: [text] },
  ...more,
});

/** A listed volume, attached to one node and without problems. */
export function listed(more: Partial<ListedVolume> = {}, name = "a"): ListedVolume {
  return {
    handle: volumeIdFromName(name),
    csiName: "pvc-1",
    state: "attached",
    sizeBytes: 10n * GIB,
    pvc: { namespace: "vms", name: "disk" },
    nodes: [attachedTo("n1")],
    migration: undefined,
    createdAt: "2026-02-20T12:00:00Z",
    nqn: "nqn.2000-02.com.mikrotik:x.1",
    exported: true,
    path: "storage-pool/csi/x.img",
    findings: [],
    ...more,
  };
}

const ROLES = ["rootdisk", "data", "etcd-backup", "windows-2022-template-clone-of-golden-image"];
const SYSTEMS = ["web", "postgres-ha", "rabbitmq-server", "erp", "build-cache"];
const DOMAIN = "rack-17.storage.example.org";

/**
 * Volumes of a busy site: names of all lengths, two namespaces, twelve nodes, a live migration, volumes of another cluster, and
 * faults in the midst: a pool that is gone, an export that is off, a node without VolumeAttachment.
 */
export function busySite(count: number): ListedVolume[] {
  return Array.from({ length: count }, (_, index) => {
    const system = SYSTEMS[index % SYSTEMS.length];
    const role = ROLES[index % ROLES.length];
    const namespace = index % 3 === 0 ? "production-virtual-machines" : "shop";
    const node = `worker-${String((index % 12) + 1).padStart(2, "0")}.${DOMAIN}`;
    const state = index % 7 === 0 ? "available" : "attached";
    const volume = listed(
      {
        csiName: `pvc-${index}`,
        state,
        sizeBytes: BigInt((index % 40) + 1) * 16n * GIB,
        pvc: { namespace, name: `${system}-${role}-${index}` },
        nodes: state === "attached" ? [attachedTo(node)] : [],
        createdAt: new Date(NOW - (index + 1) * 7_200_000).toISOString(),
      },
      `volume ${index}`,
    );
    return { ...volume, ...special(index, node) };
  });
}

function special(index: number, node: string): Partial<ListedVolume> {
  const broken = (id: string, text: string) => ({ state: "broken" as const, findings: [finding(id, text)] });
  if (index % 100 < 4)
    return broken("pool-not-mounted", "Pool nvme-raid6 is not mounted; look at /disk print on the RDS");
  if (index === 77) return broken("not-exported", "Attached according to its record, but not exported");
  if (index === 78)
    return {
      findings: [
        finding("attachment-without-va", `It is attached to ${node}, which has no VolumeAttachment for it`),
      ],
    };
  if (index === 79)
    return {
      state: "migrating",
      nodes: [attachedTo(node), attachedTo(`worker-99.${DOMAIN}`)],
      migration: { since: "2026-03-01T11:57:50Z", timeoutSeconds: 300, overdue: false },
    };
  if (index % 50 === 49)
    return {
      ...{ state: "foreign", csiName: "", pvc: undefined, nodes: [], createdAt: undefined },
      findings: [finding("foreign-disk", "it belongs to cluster staging", { severity: "warning" })],
    };
  return {};
}
