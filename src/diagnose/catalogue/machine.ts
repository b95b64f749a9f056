import { finding, IO_STOPS } from "../../inspect/entry.ts";

/** Findings about the node itself: kernel, programs, rights, the plugin and its registration. */
export const machineFindings = {
  "nvme-tcp-module-missing": finding("critical")(
    "The kernel module nvme-tcp is not loaded. /sys/module/nvme_tcp does not exist, so this node can connect to no volume. Only for --data-path nvme-tcp.",
    "Load it with `modprobe nvme-tcp` and name it in /etc/modules-load.d; if it does not exist, install the kernel's extra modules (linux-modules-extra on Ubuntu).",
    ["nvme-fabrics-missing", "plugin-not-ready", "volume-not-connected", "connection-not-live"],
  ),
  "nvme-fabrics-missing": finding("error")(
    "The device /dev/nvme-fabrics is missing. nvme-cli connects through it; the module nvme-fabrics makes it, and a container sees it only with the host's /dev.",
    "Load nvme-tcp (it loads nvme-fabrics) and mount the host's /dev into the node pod.",
    ["plugin-not-ready", "volume-not-connected"],
  ),
  "tool-missing": finding("error")(
    "A program that the node executes is missing. It is not in any of the directories in which the node looks. The driver's image has all of them.",
    "Run `rds-csi diagnose` in the node pod rather than on the host, or install the Debian package named below.",
    ["plugin-not-ready"],
  ),
  "host-pid-off": finding("error")(
    "The node plugin does not see the host's processes. /proc belongs to another PID namespace than the machine's first one, so processes that use a device cannot be found and no volume can be proven unused.",
    "Set hostPID: true in the node DaemonSet. If it is set, the node itself is a container (kind, k3d, LXC): processes outside of it stay hidden, and only a real or virtual machine can be a node.",
    ["plugin-not-ready"],
  ),
  "processes-hidden": finding("error")(
    "Some processes may not be looked into. Each of them could use a device unseen, so no volume can be proven unused and none is disconnected.",
    "Run as root; in Kubernetes run the node container privileged (CAP_SYS_PTRACE).",
    ["plugin-not-ready"],
  ),
  "host-network-off": finding("error")(
    "The node plugin is not in the host's network. The kernel makes the first connection in the network namespace of the caller and every reconnect in the host's.",
    "Set hostNetwork: true in the node DaemonSet.",
    ["plugin-not-ready"],
  ),
  "mount-propagation-off": finding("critical")(
    "What the node plugin mounts stays in its container. Kubelet's directory is not shared between this container and the host, so a pod would get an empty directory of the node's own disk in place of its volume. The driver refuses to stage (mountNotPropagated).",
    "Set mountPropagation: Bidirectional for kubelet's directory in the node DaemonSet.",
    ["volume-not-connected"],
  ),
  "multipath-off": finding("info")(
    "Native NVMe multipath is off. nvme_core.multipath=N: each path of a subsystem is a device of its own. The driver works with it; a second path to the same volume would be refused as ambiguous. multipathd takes such devices unless they are excluded.",
    "Boot with nvme_core.multipath=Y unless something else needs it off; then exclude the volumes in multipath.conf (docs/install.md, Multipath and LVM on the nodes).",
  ),
  "host-identity-shared": finding("warning")(
    "The host NQN of /etc/nvme is that of many machines. /etc/nvme/hostnqn holds an all-zero UUID, or one half of the driver's own identity. The driver passes its own, derived from cluster id and node id; connections made by hand use that file.",
    "Make a new one with `nvme gen-hostnqn` and write /etc/nvme/hostid to match; on cloned machines do it on each.",
  ),
  "plugin-socket-missing": finding("critical")(
    "The socket of the node plugin does not exist. Nothing listens where kubelet and the registrar look for this driver: the plugin does not run, or its --endpoint is another.",
    "Look at the node pod on this node (`kubectl get pod -o wide`, its log); compare --endpoint with the socket's host path.",
    ["plugin-registration-missing", "csinode-driver-missing", "volume-not-connected"],
  ),
  "plugin-not-answering": finding("critical")(
    "The node plugin does not answer. The socket exists, but GetPluginInfo got no answer: the process has ended and left its socket, or it hangs.",
    "Look at the log of the node pod and restart the pod; volumes in use are not touched by that.",
    ["plugin-registration-missing", "csinode-driver-missing", "volume-not-connected"],
  ),
  "plugin-other-driver": finding("error")(
    "Another driver answers on the plugin's socket. GetPluginInfo names another driver than --driver-name.",
    "Compare --driver-name and --endpoint of this command with those of the node plugin.",
  ),
  "plugin-not-ready": finding("error")(
    "The node plugin says that it is not ready. Probe answered ready=false; the plugin's log and /readyz say why.",
    "Read the reasons in the log of the node pod (`not ready`) and remove them; most are findings of their own here.",
  ),
  "plugin-registration-missing": finding("error")(
    "The driver is not registered at kubelet. plugins_registry of the kubelet directory holds no socket of this driver: node-driver-registrar does not run, or registers elsewhere.",
    "Look at the container node-driver-registrar in the node pod; compare --kubelet-dir with kubelet's root-dir.",
    ["csinode-driver-missing"],
  ),
  "csinode-driver-missing": finding("error")(
    "The CSINode object of this node does not name the driver. kubelet adds the driver there when the registrar has introduced it; until then no volume is staged on this node.",
    "Look at the log of node-driver-registrar and of kubelet; compare the node's name with --node-id.",
  ),
  "csinode-other-id": finding("error")(
    "Kubernetes knows this node under another CSI node id. spec.drivers of the CSINode object has another nodeID than --node-id, so the host NQN is derived from another name and the RDS expects another host.",
    "Set --node-id to the node's name everywhere and restart the node pod, so that it is registered anew.",
    ["connected-as-other-host", ...IO_STOPS],
  ),
  "kubernetes-unreachable": finding("warning")(
    "The Kubernetes API could not be asked. PersistentVolumes, VolumeAttachments, pods and the CSINode object are unknown; everything else in this report is not affected.",
    "Check the API server and the way to it; compare --kubeconfig and --orchestrator.",
  ),
  "kubernetes-forbidden": finding("info")(
    "Kubernetes does not allow some of the questions. The credentials of this command may not read the resources named below, so those links of the chain are unknown.",
    "Nothing, or run the command with a kubeconfig that may list them. In a node pod, pods need the component diagnose-pods of the manifests.",
  ),
  "kernel-log-unreadable": finding("info")(
    "The kernel's messages cannot be read. /dev/kmsg may not be opened here. Without it, the time since when a connection is lost is unknown.",
    "Run as root with the host's /dev; kernel.dmesg_restrict=1 needs CAP_SYSLOG.",
  ),
  "check-unanswered": finding("warning")(
    "A check did not get its answer. It failed, or did not answer in time, so what it would have said is unknown; the others are not affected.",
    "Repeat with a longer --timeout. If it stays, what it looks at hangs.",
  ),
} as const;
