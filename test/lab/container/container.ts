import process from "node:process";
import { kind } from "../kind.ts";
import type { Machine } from "../machine.ts";

/** Root filesystem of the image and the lab's runtime, as `scripts/lab` made them: paths of this machine. */
const root = process.env.RDS_CSI_LAB_ROOTFS ?? "";
const runtime = process.env.RDS_CSI_LAB_RUNTIME ?? "";
const HOST_TREE = "/run/host";

/** Why no container can be made here, for the names of skipped tests; "" when one can. */
export const noContainers: string = (() => {
  if (!kind.hasHostTree) return "(skipped: such machines do not have the host's tree)";
  return root === "" ? "(skipped: scripts/image cannot make the image here)" : "";
})();

/** The user of the image. */
const USER = 65532;
/** Where the modules of a machine's kernel are, as /lib/modules of a host. */
const MODULES = "/run/modules";

export interface ContainerCommand {
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * The driver's command as the node's DaemonSet runs it: privileged, hostPID, /dev, kubelet's directory with propagation in
 * both directions, its state, the directory of its socket, and the host's modules.
 */
export function nodeContainer(args: readonly string[]): ContainerCommand {
  return container(
    ["--privileged", "--bind-shared", "/var/lib/kubelet:var/lib/kubelet"].concat(
      ...["/var/lib/rds-csi:var/lib/rds-csi", "/run/rds-csi:run/rds-csi"].map((pair) => ["--bind", pair]),
      ["--bind-ro", `${MODULES}/lib/modules:usr/lib/modules`],
    ),
    args,
  );
}

/** The driver's command as the controller's Deployment runs it: not root, nothing writable but its socket's directory. */
export function controllerContainer(args: readonly string[], secrets: string): ContainerCommand {
  return container(["--bind", "/run/rds-csi:run/rds-csi", "--bind-ro", `${secrets}:etc/rds-csi`], args);
}

/** Where the controller's secrets are in its container. */
export const SECRETS = "/etc/rds-csi";

function container(options: readonly string[], args: readonly string[]): ContainerCommand {
  const command = ["--root", `${HOST_TREE}${root}`, ...options, "--", "/usr/bin/rds-csi", ...args];
  return { program: `${HOST_TREE}${runtime}`, args: command };
}

/**
 * Makes a machine a host of the node's container, as distributions are: mounts are shared, modules in /lib/modules, and
 * nvme-tcp is not loaded.
 */
export async function prepareNode(machine: Machine, modules: string): Promise<void> {
  await machine.sh(`mount --make-rshared /
    rmmod nvme-tcp
    to=${MODULES}/lib/modules/$(uname -r)
    mkdir -p $to && cp ${HOST_TREE}${modules}/*.ko $to && : >$to/modules.order && : >$to/modules.builtin
    depmod -b ${MODULES} $(uname -r)`);
}

/** Gives the controller's user its secrets and its socket's directory, as the kubelet does with fsGroup. */
export async function prepareController(machine: Machine, secrets: string): Promise<void> {
  await machine.sh(`chown -R ${USER}:${USER} ${secrets} /run/rds-csi`);
}
