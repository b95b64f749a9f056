import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import type { Target } from "../host/data-path.ts";
import { complaint, type ExecResult } from "../host/exec.ts";
import { exists } from "../host/files.ts";
import type { NodeSystem } from "../host/system.ts";
import type { ConnectOutcome } from "./connect-metrics.ts";
import type { ConnectQueue } from "./connect-queue.ts";
import { endpointText } from "./endpoint.ts";

export interface ConnectCommandDeps {
  readonly system: NodeSystem;
  readonly queue: ConnectQueue;
  /** Called when an `nvme connect` has ended. */
  readonly onConnect: (outcome: ConnectOutcome) => void;
}

const DEADLINE_MS = 30_000;

/**
 * Runs `nvme connect` when it is its turn in the queue.
 * @returns false if the kernel has the connection already
 * @throws connectRefused, subsystemNotOffered, connectQueueFull (UNAVAILABLE); nvmeModuleMissing (FAILED_PRECONDITION)
 */
export async function runConnect(
  deps: ConnectCommandDeps,
  target: Target,
  signal?: AbortSignal,
): Promise<boolean> {
  const { system, queue, onConnect } = deps;
  const args = connectArguments(target);
  return await queue.run(
    `connecting ${target.nqn}`,
    async () => {
      system.logger.info("connecting", { nqn: target.nqn, address: endpointText(target) });
      let outcome: ConnectOutcome = "failed";
      try {
        const command = { program: "nvme" as const, args, deadlineMs: DEADLINE_MS, signal };
        const result = await system.exec(command);
        if (result.code !== 0) {
          const error = connectFailure(result, target, await exists(`${system.sysRoot}/module/nvme_tcp`));
          if (error !== undefined) throw error;
        }
        outcome = result.code === 0 ? "ok" : "existing";
        return result.code === 0;
      } finally {
        onConnect(outcome);
      }
    },
    signal,
  );
}

/** Everything explicit: without host NQN and ID, nvme-cli takes them from files or invents them. */
function connectArguments(target: Target): readonly string[] {
  const args = ["connect", "--transport=tcp", `--traddr=${target.address}`, `--trsvcid=${target.port}`];
  args.push(`--nqn=${target.nqn}`, `--hostnqn=${target.hostNqn}`, `--hostid=${target.hostId}`);
  args.push(`--ctrl-loss-tmo=${target.ctrlLossTmo}`, `--reconnect-delay=${target.reconnectDelay}`);
  args.push(`--keep-alive-tmo=${target.keepAliveTmo}`);
  if (target.nrIoQueues > 0) args.push(`--nr-io-queues=${target.nrIoQueues}`);
  if (target.queueSize > 0) args.push(`--queue-size=${target.queueSize}`);
  return args;
}

/**
 * The error of a failed `nvme connect`. nvme-cli always exits with 1, so its text decides: measured with 2.3, read in the
 * sources of later versions (libnvme, `nvme_strerror` and `__nvmf_add_ctrl`). 2.x prints the kernel's reason, `Failed to
 * write to /dev/nvme-fabrics: …`; 3.x has it in its verbose log only, and one text for most reasons. An unknown text is
 * UNAVAILABLE: the call is worth repeating.
 * @param tcpLoaded whether the module nvme_tcp is loaded: `Invalid argument` means that it is not, or a bad route
 * @returns undefined for "already connected": look again
 */
export function connectFailure(
  result: ExecResult,
  target: Target,
  tcpLoaded: boolean,
): DriverError | undefined {
  const { nqn } = target;
  const address = `${target.address}:${target.port}`;
  const text = `${result.stderr}\n${result.stdout}`;
  if (/already connected|Operation already in progress/i.test(text)) return undefined;
  if (/open \/dev\/nvme-fabrics: No such (file|device)/.test(text)) {
    return failure("nvmeModuleMissing", { module: "nvme-fabrics" });
  }
  if (/nvme-fabrics: Invalid argument|invalid arguments\/configuration/.test(text) && !tcpLoaded) {
    return failure("nvmeModuleMissing", { module: "nvme-tcp" });
  }
  // The Connect command was answered with a refusal: unknown NQN or host not allowed; only the kernel log tells which.
  if (/nvme-fabrics: Input\/output error/.test(text)) return failure("subsystemNotOffered", { nqn, address });
  return failure("connectRefused", { nqn, address, reason: complaint(result) });
}
