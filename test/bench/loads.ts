import { writeSync } from "node:fs";
import process from "node:process";

/**
 * Loads the package that its argument names, and prints its own processor time in milliseconds and its resident memory in MB. Compiled as
 * the driver is: in chunks, so that nothing else is loaded.
 */
const LOADS: Readonly<Record<string, () => Promise<unknown>>> = {
  nothing: async () => {},
  "grpc-js": () => import("@grpc/grpc-js"),
  "protobuf-es with the CSI descriptors": () => import("../../src/csi/gen/csi_pb.ts"),
  ssh2: () => import("ssh2"),
  "prom-client without unused parts": () => import("prom-client"),
  "@kubernetes/client-node, whole": () => import("@kubernetes/client-node"),
  "the API classes of @kubernetes/client-node": () => import("../../src/kubernetes/client-library.ts"),
  commander: () => import("commander"),
  yaml: () => import("yaml"),
};

const name = process.argv[2];
if (name === undefined) {
  writeSync(1, JSON.stringify(Object.keys(LOADS)));
} else {
  await LOADS[name]?.();
  const { user, system } = process.cpuUsage();
  writeSync(1, JSON.stringify([(user + system) / 1e3, process.memoryUsage.rss() / 1e6]));
}
process.exit();
