import { NODE_TOOLS, type NodeTool } from "../../src/host/tools.ts";
import { packagesOf } from "./image/contents.ts";

// Prints the Debian packages of the programs that the node executes, of both data paths, for scripts that install them.
console.log(packagesOf(NODE_TOOLS as readonly NodeTool[]).join(" "));
