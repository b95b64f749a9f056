import { finding, IO_STOPS } from "../../inspect/entry.ts";

/** Findings about the way to the storage address, and about the RDS and its management link. */
export const storageFindings = {
  "storage-route-missing": finding("critical")(
    "There is no route to the storage address. The kernel answered ENETUNREACH to a TCP connect, or its routing table has nothing for the address.",
    "Configure the storage network on this node: address, VLAN and route of the interface that should lead there.",
    ["storage-unreachable", "rds-unreachable", ...IO_STOPS],
  ),
  "storage-interface-down": finding("critical")(
    "The network interface towards the storage address is down. The route to the storage address leads through an interface whose operstate is not up.",
    "Check cable, switch port, bond and VLAN of that interface (`ip -d link show`).",
    ["storage-unreachable", "rds-unreachable", ...IO_STOPS],
  ),
  "storage-unreachable": finding("critical")(
    "The storage address does not answer. A TCP connect to the NVMe/TCP port got no answer in time: the RDS is off, its storage port is down, or the network between loses everything. Connections wait and reconnect by themselves.",
    "Check the RDS and its storage port, then cables, VLAN and firewall between this node and it (`ping`, `ip neigh`).",
    ["rds-unreachable", ...IO_STOPS],
  ),
  "storage-slow": finding("warning")(
    "The storage address answers slowly. A TCP connect took a second or longer: the network loses packets, or the RDS is overloaded.",
    "Check errors and drops of the interfaces (`ip -s link`), the switch ports and the load of the RDS.",
  ),
  "storage-mtu-small": finding("warning")(
    "The MTU towards the storage address is below 1500 bytes. The outgoing interface has a small MTU, e.g. of a tunnel; NVMe/TCP works, slowly.",
    "Route the storage network over a physical interface; 9000 bytes is usual if switch and RDS have it too.",
  ),
  "storage-address-unknown": finding("info")(
    "No storage address is known. There are no connections, no VolumeAttachments that name one, and no --storage-address; so reachability was not tried.",
    "Name it with --storage-address to have route, MTU and reachability checked.",
  ),
  "rds-key-refused": finding("error")(
    "The RDS refuses the SSH key. The SSH login failed: the RDS does not know the public key for this user, or the user may not log in from this address.",
    "Import the driver's public key for that user (/user/ssh-keys) and check the user's allowed address.",
  ),
  "rds-key-unusable": finding("error")(
    "The SSH key or the pinned host keys of the RDS cannot be used. A file named by --rds-key-file, --rds-key-passphrase-file or --rds-host-key-file is missing, unreadable or of another form.",
    "Name a private Ed25519 or RSA key, and a file of host keys in known_hosts form.",
  ),
  "rds-host-key-mismatch": finding("critical")(
    "The RDS shows an SSH host key that is not pinned. Either the RDS was replaced or its host key regenerated, or somebody is in between. Nothing was sent.",
    "If the change is yours, pin the new fingerprint; otherwise suspect an attack and do not continue.",
  ),
  "rds-unreachable": finding("error")(
    "The RDS cannot be reached over SSH. No SSH connection could be made to --rds-address. Attached volumes go on working; attaching and detaching does not.",
    "Check power and network of the RDS and /ip/service (ssh).",
  ),
  "rds-version-too-old": finding("error")(
    "The RouterOS version of the RDS is too old. nvme-tcp-server-nqn exists since RouterOS 7.21; before, fencing by epoch is impossible and the driver refuses.",
    "Upgrade the RDS; 7.23.8 (long-term) or 7.24.5 (stable) and later are recommended.",
  ),
  "rds-permission-missing": finding("error")(
    "The RouterOS user lacks a permission. The RDS let the user in and refused a command that only reads.",
    "Give the user's group the policies ssh, read, write and test.",
  ),
  "rds-not-understood": finding("warning")(
    "The RDS did not answer a question. The SSH link works, but a command failed or its answer could not be read; records and exports are unknown.",
    "Repeat it; if it stays, report the RouterOS version and the text.",
  ),
} as const;
