import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { API_SERVICE, CONTROL, nodeAddress, podNet } from "./addresses.ts";
import type { Machine } from "./machine.ts";
import { run } from "./run.ts";

/** Gives the control machine its addresses. */
export async function addressControl(control: Machine): Promise<void> {
  for (const address of [CONTROL, API_SERVICE]) {
    await control.run("ip", ["addr", "add", `${address}/32`, "dev", "lo"]);
  }
}

/**
 * Connects a node with the control machine by a cable of its own. Everything that a node does not know, pods of the other node and the API
 * included, it sends there.
 * @param index from 0
 */
export async function connect(control: Machine, node: Machine, index: number): Promise<void> {
  const address = nodeAddress(index);
  const enter = ["--target", String(control.pid), "--net", "--", "ip", "link", "add", node.name];
  const peer = ["type", "veth", "peer", "name", "eth0", "netns", String(node.pid)];
  // Both ends are named by process numbers of this computer, so only the network namespace is entered.
  await run("nsenter", [...enter, ...peer]);
  const inControl = [
    ["link", "set", node.name, "up"],
    ["route", "add", `${address}/32`, "dev", node.name],
    ["route", "add", `${podNet(index)}.0.0/16`, "via", address, "dev", node.name, "onlink"],
  ];
  for (const args of inControl) await control.run("ip", args);
  const inNode = [
    ["addr", "add", `${address}/32`, "dev", "eth0"],
    ["link", "set", "eth0", "up"],
    ["route", "add", `${CONTROL}/32`, "dev", "eth0"],
    ["route", "add", "default", "via", CONTROL, "dev", "eth0"],
  ];
  for (const args of inNode) await node.run("ip", args);
  await writeFile(join(node.directory, "pod-net"), podNet(index));
}
