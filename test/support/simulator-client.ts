import ssh2, { type Client } from "ssh2";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulator/simulator.ts";
import { secretKey } from "./secret-key.ts";

const KEYS = secretKey("user key of a simulator client");

/** What a client sees of one command. */
export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  /** undefined when the channel closed without an exit status. */
  readonly code: number | undefined;
}

export interface TestClient {
  readonly client: Client;
  exec(line: string): Promise<Answer>;
  close(): void;
}

/** Logs in with the test key. @param name login name, parameters included */
export function connect(simulator: { host: string; port: number }, name = "csi"): Promise<TestClient> {
  return connectWith(simulator, { username: name, privateKey: KEYS.private });
}

export function connectWith(
  simulator: { host: string; port: number },
  more: Parameters<Client["connect"]>[0],
): Promise<TestClient> {
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    client.on("error", reject);
    client.on("close", () => reject(new Error("closed")));
    client.on("connect", () => client.setNoDelay(true));
    client.on("ready", () =>
      resolve({ client, exec: (line) => exec(client, line), close: () => void client.end() }),
    );
    client.connect({ host: simulator.host, port: simulator.port, ...more });
  });
}

function exec(client: Client, line: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    client.exec(line, (error, channel) => {
      if (error !== undefined) {
        reject(error);
        return;
      }
      let [stdout, stderr] = ["", ""];
      let code: number | undefined;
      channel.on("data", (data: Buffer) => {
        stdout += data.toString("latin1");
      });
      channel.stderr.on("data", (data: Buffer) => {
        stderr += data.toString("latin1");
      });
      channel.on("exit", (status: number | null) => {
        code = status ?? undefined;
      });
      channel.on("close", () => resolve({ stdout, stderr, code }));
    });
  });
}

/** A simulator for which the test key is authorised as user "csi". */
export function startTestSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  return startSimulator({ authorizedKeys: [KEYS.public], ...options });
}

export const TEST_KEYS = KEYS;
