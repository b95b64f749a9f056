import process from "node:process";
import { parseArgs } from "node:util";
import { identityService } from "../../../src/csi/identity.ts";
import { startServer } from "../../../src/csi/server.ts";
import { systemClock } from "../../../src/domain/clock.ts";
import { silentLogger } from "../../../src/observability/log.ts";
import { earlierController } from "./controller.ts";
import { earlierNode } from "./node.ts";

// The earlier Go driver as a program for pods, run by the Bun inside the driver's executable (BUN_BE_BUN=1). It stands for the Go driver, whose source and image are not public:
// its RouterOS commands, publish contexts, mounts and device nodes are its own, its connections are loop devices.

const { values } = parseArgs({
  options: {
    endpoint: { type: "string", default: "" },
    "node-id": { type: "string", default: "" },
    "rds-address": { type: "string", default: "" },
    "exports-dir": { type: "string", default: "" },
    "state-dir": { type: "string", default: "" },
  },
});
const part =
  values["node-id"] === ""
    ? earlierController({ address: values["rds-address"], user: "csi", keyFile: "/etc/rds/key" })
    : earlierNode({
        nodeId: values["node-id"],
        exportsDir: values["exports-dir"],
        stateDir: values["state-dir"],
      });
const identity = identityService({
  ...{ name: "rds.csi.srvlab.io", vendorVersion: "go", isReady: () => true },
});
const server = await startServer({
  ...{ endpoint: values.endpoint, services: [identity, part], interceptors: [] },
  ...{ clock: systemClock, logger: silentLogger },
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
