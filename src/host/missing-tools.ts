import { access, constants } from "node:fs/promises";
import { NODE_TOOLS, type NodeTool, TOOL_PATH } from "./tools.ts";

/** The programs of NODE_TOOLS that this node lacks, as sentences for the readiness check. */
export async function missingTools(
  dataPath: "nvme-tcp" | "loop",
  directories: readonly string[] = TOOL_PATH,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const tool of NODE_TOOLS as readonly NodeTool[]) {
    if (tool.dataPath !== undefined && tool.dataPath !== dataPath) continue;
    const found = await Promise.all(
      directories.map((directory) =>
        access(`${directory}/${tool.name}`, constants.X_OK).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (!found.includes(true))
      problems.push(`the program ${tool.name} is missing: it ${tool.why} (Debian package ${tool.package})`);
  }
  return problems;
}
