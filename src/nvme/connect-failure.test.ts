import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Target } from "../node/data-path.ts";
import { connectFailure } from "./connect-failure.ts";

const recorded = readFileSync(new URL("./recorded/errors.txt", import.meta.url), "utf8");
const target = { nqn: "nqn.2000-02.com.mikrotik:pvc-x", address: "192.0.2.9", port: 4420 } as Target;

/** What nvme-cli 2.3 printed in a recorded case. */
function said(title: string): string {
  const block = recorded.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  if (block === undefined) throw new Error(`no recorded case ${title}`);
  const lines = block.split("\n").slice(2);
  return lines
    .slice(
      0,
      lines.findIndex((line) => /^(rc=|\[rc=|Command exited|\{)/.test(line)),
    )
    .join("\n");
}

const result = (stderr: string) => ({ code: 1, stdout: "", stderr, truncated: false });

describe("texts of nvme connect", () => {
  test.each([
    ["wrong NQN", true, "subsystemNotOffered"],
    ["host not allowed", true, "subsystemNotOffered"],
    ["refused port", true, "connectRefused"],
    ["no route", true, "connectRefused"],
    ["SYNs dropped", true, "connectRefused"],
    ["blackholed address (route says no)", true, "connectRefused"],
    ["transport that is not loaded", false, "nvmeModuleMissing"],
    ["host name as traddr", true, "connectRefused"],
    ["already connected", true, undefined],
    ["already connected, -o json", true, undefined],
  ] as const)("%s", (title, tcpLoaded, id) => {
    const text = said(title);
    expect(text.length).toBeGreaterThan(10);
    expect(connectFailure(result(text), target, tcpLoaded)?.id).toBe(id as never);
  });

  test("nvme-fabrics is not loaded (lab.md, section 5)", () => {
    const text =
      "Failed to open /dev/nvme-fabrics: No such file or directory\nfailed to open nvme-fabrics device\n";
    expect(connectFailure(result(text), target, true)?.id).toBe("nvmeModuleMissing");
  });

  test("an unknown text is passed on, and the call is worth repeating", () => {
    const error = connectFailure(result("something new\n"), target, true);
    expect(error).toMatchObject({ id: "connectRefused", code: 14 });
    expect(error?.message).toContain("something new");
  });
});
