import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { Identity } from "../../src/csi/gen/csi_pb.ts";
import { serviceClient } from "./csi-client.ts";
import { proportionalMb, residentMb } from "./figures.ts";

/** Whether somebody takes connections on a socket; its file is there a moment earlier. */
const listens = (socket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const tried = connect(socket);
    tried.on("connect", () => {
      tried.destroy();
      resolve(true);
    });
    tried.on("error", () => resolve(false));
  });

/**
 * Starts a service process, measures the time until its first answered RPC and its memory when it is idle, and stops
 * it.
 * @param socket on which `args` makes it serve
 * @param idleMs how long it is left alone before its memory is read
 * @returns milliseconds from the start of the process; resident MB (10^6 bytes), and its part of shared pages
 */
export async function startUp(
  executable: string,
  args: readonly string[],
  socket: string,
  idleMs: number,
): Promise<{ readyMs: number; residentMb: number; proportionalMb: number }> {
  const started = performance.now();
  const child = spawn(executable, args, { stdio: "ignore", env: { PATH: process.env.PATH ?? "" } });
  const ended = once(child, "exit");
  try {
    while (!(await listens(socket))) {
      if (child.exitCode !== null || performance.now() - started > 10_000) {
        throw new Error(`${args[0]} does not serve ${socket} (exit code ${child.exitCode})`);
      }
      await delay(1);
    }
    const client = serviceClient(Identity, socket);
    await client.probe();
    const readyMs = performance.now() - started;
    client.close();
    await delay(idleMs);
    const { pid = 0 } = child;
    return { readyMs, residentMb: await residentMb(pid), proportionalMb: await proportionalMb(pid) };
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}
