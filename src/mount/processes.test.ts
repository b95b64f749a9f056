import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeUse, processAt } from "./processes.ts";

const POD = "4f9d1b7a-0c2e-4c52-9d3f-5a1e6b7c8d9e";
const CGROUPS = [
  `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD.replaceAll("-", "_")}.slice/cri-containerd-0a.scope\n`,
  `12:memory:/kubepods/besteffort/pod${POD}/0a\n11:cpu:/kubepods/besteffort/pod${POD}/0a\n`,
  `0::/../../kubepods-besteffort-pod${POD.replaceAll("-", "_")}.slice/cri-containerd-0a.scope\n`,
];

test.each(CGROUPS)("the pod of a process is read from its cgroup: %s", (cgroup) => {
  const base = mkdtempSync(join(tmpdir(), "rds-csi-process-"));
  try {
    mkdirSync(base, { recursive: true });
    writeFileSync(join(base, "stat"), "42 (my (prog)) S 7 42 42 0 -1 4194560 0 0");
    writeFileSync(join(base, "cgroup"), cgroup);
    expect(processAt(base)).toEqual({ command: "my (prog)", parent: 7, pod: POD });
    expect(describeUse({ pid: 42, ...processAt(base), how: "fd 3" })).toBe(
      `process 42 (my (prog), fd 3) of pod ${POD}`,
    );
    writeFileSync(join(base, "cgroup"), "0::/system.slice/ssh.service\n");
    expect(describeUse({ pid: 42, ...processAt(base), how: "cwd" })).toBe("process 42 (my (prog), cwd)");
    writeFileSync(
      join(base, "cgroup"),
      "0::/kubepods.slice/kubepods-pod0123456789abcdef0123456789abcdef.slice/x\n",
    );
    expect(processAt(base).pod).toBe("0123456789abcdef0123456789abcdef");
  } finally {
    rmSync(base, { recursive: true });
  }
});
