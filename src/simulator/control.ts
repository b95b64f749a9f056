import { chmod, unlink } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { SimulatorError } from "./errors.ts";
import { parseFault } from "./faults.ts";
import type { Simulator } from "./options.ts";
import { checkSwitches } from "./switches.ts";

/** Longest request body in bytes. */
const BODY_LIMIT = 1 << 20;

export interface ControlServer {
  close(): Promise<void>;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > BODY_LIMIT) throw new SimulatorError("the request body is too long");
  }
  try {
    return text === "" ? {} : JSON.parse(text);
  } catch {
    throw new SimulatorError("the request body is not JSON");
  }
}

/** The reply of /state; sizes are decimal strings. */
function state(simulator: Simulator): unknown {
  const { device } = simulator;
  const { version, identity, pools, disks, files, subvolumes, liveExports } = device;
  const free = pools.map((pool) => ({ ...pool, free: device.freeBytes(pool.slot) }));
  const { switches } = simulator;
  return { version, identity, pools: free, disks, files, subvolumes, exports: liveExports, switches };
}

function stats(simulator: Simulator): unknown {
  const count = (test: (outcome: string) => boolean) =>
    simulator.commands.filter((entry) => test(entry.outcome)).length;
  return {
    commands: simulator.commands.length,
    mutations: simulator.commands.filter((entry) => entry.mutated).length,
    failures: count((outcome) => outcome !== "ok" && outcome !== "running"),
    running: count((outcome) => outcome === "running"),
    connections: simulator.connectionCount,
    droppedHosts: simulator.device.hosts.dropped,
    faults: simulator.faults.rules.length,
    hanging: simulator.faults.hanging,
  };
}

function hasPool({ device }: Simulator, slot: string): boolean {
  return device.pools.some((pool) => pool.slot === slot);
}

async function answer(simulator: Simulator, request: IncomingMessage): Promise<unknown> {
  const path = (request.url ?? "/").split("?")[0];
  switch (`${request.method} ${path}`) {
    case "GET /state":
      return state(simulator);
    case "GET /commands":
      return simulator.commands;
    case "GET /stats":
      return stats(simulator);
    case "POST /switches": {
      const body = await readJson(request);
      simulator.setSwitches(checkSwitches(body as Record<string, unknown>));
      return simulator.switches;
    }
    case "POST /faults": {
      const { action, when } = parseFault(await readJson(request));
      simulator.faults.add(action, when);
      return { faults: simulator.faults.rules.length, rule: simulator.faults.hits.length - 1 };
    }
    case "GET /faults":
      return { hits: simulator.faults.hits };
    case "DELETE /faults": {
      const released = simulator.faults.hanging;
      simulator.faults.clear();
      return { faults: 0, released };
    }
    case "POST /pools": {
      const { slot, ...change } = (await readJson(request)) as Record<string, unknown>;
      const { mounted, state } = change;
      const isChange =
        Object.keys(change).length > 0 &&
        Object.keys(change).every((key) => key === "mounted" || key === "state") &&
        ["boolean", "undefined"].includes(typeof mounted) &&
        ["string", "undefined"].includes(typeof state);
      if (typeof slot !== "string" || !isChange || !hasPool(simulator, slot))
        throw new SimulatorError(
          "expected {slot, mounted, state} with the slot of a pool; one of the others may be missing",
        );
      await simulator.device.setPool(slot, change);
      return {};
    }
    case "POST /reboot": {
      const { lostSeconds = 0 } = (await readJson(request)) as { lostSeconds?: unknown };
      if (typeof lostSeconds !== "number" || !(lostSeconds >= 0))
        throw new SimulatorError("expected {} or {lostSeconds}, 0 or more");
      await simulator.powerLoss(lostSeconds);
      return {};
    }
    default:
      return undefined;
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body, (_key, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${text}\n`);
}

/**
 * Serves the control interface over HTTP on a Unix socket that only this user may open: GET /state, /commands,
 * /stats, /faults (how often each rule has struck); POST /switches, /faults, /pools, /reboot; DELETE /faults. A bad request is answered with 400 and `{"error"}`.
 * @param socketPath replaced when it exists
 */
export async function startControl(socketPath: string, simulator: Simulator): Promise<ControlServer> {
  await unlink(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  const server = createServer((request, response) => {
    answer(simulator, request).then(
      (body) =>
        body === undefined ? reply(response, 404, { error: "not found" }) : reply(response, 200, body),
      (error: unknown) => {
        const bad = error instanceof SimulatorError;
        reply(response, bad ? 400 : 500, { error: error instanceof Error ? error.message : String(error) });
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  await chmod(socketPath, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
