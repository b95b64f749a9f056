import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Target } from "../host/data-path.ts";
import { connectFailure } from "./connect-command.ts";

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

  // From the sources of libnvme and nvme-cli after 2.3, which is what the recordings are from.
  test.each([
    ["could not add new controller: already connected", true, undefined],
    ["could not add new controller: invalid arguments/configuration", false, "nvmeModuleMissing"],
    ["could not add new controller: invalid arguments/configuration", true, "connectRefused"],
    ["could not add new controller: failed to write to nvme-fabrics device", true, "connectRefused"],
    ["could not add new controller: connection refused", true, "connectRefused"],
    ["could not add new controller: cannot assign requested address", true, "connectRefused"],
    ["could not add new controller: hostnqn already in use", true, "connectRefused"],
    ["could not add new controller: invalid interface", true, "connectRefused"],
    ["could not add new controller: not supported", true, "connectRefused"],
    ["could not add new controller: the TLS key is missing", true, "connectRefused"],
    ["could not add new controller: failed to lookup subsystem", true, "connectRefused"],
    ["Failed to open /dev/nvme-fabrics: Permission denied", true, "connectRefused"],
    ["Failed to open /dev/nvme-fabrics: No such device", true, "nvmeModuleMissing"],
    [
      "Failed to write to /dev/nvme-fabrics: Input/output error\ncould not add new controller: failed to write to nvme-fabrics device",
      true,
      "subsystemNotOffered",
    ],
  ] as const)("later versions: %s", (text, tcpLoaded, id) => {
    const error = connectFailure(result(`${text}\n`), target, tcpLoaded);
    expect(error?.id).toBe(id as never);
    // Nothing but a missing module is beyond repeating.
    if (id !== undefined && id !== "nvmeModuleMissing") expect(error?.code).toBe(14);
  });

  test("an unknown text is passed on, and the call is worth repeating", () => {
    const error = connectFailure(result("something new\n"), target, true);
    expect(error).toMatchObject({ id: "connectRefused", code: 14 });
    expect(error?.message).toContain("something new");
  });
});
