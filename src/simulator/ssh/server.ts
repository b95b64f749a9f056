import { Buffer } from "node:buffer";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import ssh2, { type Connection, type ServerChannel, type Session } from "ssh2";
import type { Logger } from "../../observability/log.ts";
import { joinWrites } from "../../routeros/transport/join-writes.ts";
import { withinPrefixes } from "../device/addresses.ts";
import type { Device } from "../device/device.ts";
import { SimulatorError } from "../errors.ts";
import type { Faults } from "../faults.ts";
import type { Switches } from "../switches.ts";
import { authenticate } from "./authentication.ts";
import { addressOf, ClientConnection, muteKeepalives } from "./connection.ts";
import type { HostKey } from "./host-keys.ts";
import { serveSftp } from "./sftp.ts";

/** One exec request, accepted. */
export interface ExecRequest {
  readonly connection: ClientConnection;
  readonly channelNumber: number;
  /** The command, one character for each byte. */
  readonly line: string;
  readonly channel: ServerChannel;
}

export interface SshServerOptions {
  readonly hostKeys: readonly HostKey[];
  readonly device: Device;
  readonly faults: Faults;
  readonly logger: Logger;
  switches(): Readonly<Switches>;
  /** Whether the device is up; connections are closed at once while it is not. */
  online(): boolean;
  exec(request: ExecRequest): Promise<void>;
  /** Makes the new state durable. */
  saved(): Promise<void>;
}

/** The SSH service: sessions and exec requests, no shell, no SFTP, no forwarding (facts section 9.1). */
export class SshServer {
  readonly #options: SshServerOptions;
  readonly #tcp: NetServer;
  readonly #ssh: InstanceType<typeof ssh2.Server>;
  readonly #connections = new Set<ClientConnection>();
  #accepted = 0;

  constructor(options: SshServerOptions) {
    this.#options = options;
    this.#ssh = new ssh2.Server(
      { hostKeys: options.hostKeys.map((key) => key.pem), ident: "ROSSSH" },
      (client, info) => {
        const connection = [...this.#connections].find((one) => one.remotePort === info.port);
        client.on("error", (error: Error) => options.logger.debug("SSH error", { reason: error.message }));
        if (connection !== undefined) this.#serve(client, connection);
      },
    );
    this.#tcp = createServer((socket) => this.#accept(socket));
  }

  /** Begins to listen. @returns the port */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#tcp.once("error", reject);
      this.#tcp.listen(port, host, () => {
        this.#tcp.off("error", reject);
        const address = this.#tcp.address();
        if (typeof address === "object" && address !== null) resolve(address.port);
        else reject(new SimulatorError("the simulator has no TCP port"));
      });
    });
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  dropConnections(): void {
    for (const connection of [...this.#connections]) connection.drop();
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    this.dropConnections();
    await closed;
  }

  #accept(socket: Socket): void {
    socket.on("error", () => {});
    const tooMany = this.#connections.size >= this.#options.switches().maxSessions;
    const { sshAddresses } = this.#options.device.management;
    const stranger = sshAddresses.length > 0 && !withinPrefixes(addressOf(socket), sshAddresses);
    if (!this.#options.online() || tooMany || stranger || this.#options.faults.takeForSession("close")) {
      socket.destroy();
      return;
    }
    // Without this each command pays two delayed acknowledgements of 40 ms.
    socket.setNoDelay(true);
    joinWrites(socket);
    this.#accepted += 1;
    const connection = new ClientConnection(this.#accepted, socket);
    this.#connections.add(connection);
    socket.once("close", () => this.#connections.delete(connection));
    // ssh2's types and Node's differ in whether a write callback may get null; the object is the same.
    this.#ssh.injectSocket(
      socket as unknown as Parameters<InstanceType<typeof ssh2.Server>["injectSocket"]>[0],
    );
  }

  #serve(client: Connection, connection: ClientConnection): void {
    const { device, faults, switches } = this.#options;
    let refused: boolean | undefined;
    client.on("authentication", (context) => {
      refused ??= faults.takeForSession("authentication");
      if (refused) context.reject(["publickey"]);
      else {
        authenticate(context, device.management.accounts, connection.remoteAddress, (user) => {
          connection.user = user;
        });
      }
    });
    client.on("ready", () => {
      this.#noteLogin(connection);
      if (switches().keepaliveReplies === "none") muteKeepalives(client);
      client.on("session", (accept, reject) => {
        if (!this.#mayRun(connection)) reject();
        else if (switches().parallelChannels !== "second-unconfirmed") this.#session(accept(), connection);
        else {
          void connection.confirmations.acquire().then((ended) => {
            if (!connection.closed.signal.aborted) this.#session(accept(), connection, ended);
          });
        }
      });
    });
  }

  /** Lists the login in /user/active and in the log (facts section 5, audit). */
  #noteLogin(connection: ClientConnection): void {
    const { user } = connection;
    if (user === undefined) return;
    const { sessions, journal } = this.#options.device.management;
    const { name, address, group } = user;
    const note = (what: string) =>
      journal.note("system,info,account", `user ${name} logged ${what} from ${address} via ssh`);
    note("in");
    const over = sessions.begin({
      name,
      address,
      group,
      since: this.#options.device.clock.now(),
      end: () => connection.drop(),
    });
    connection.closed.signal.addEventListener("abort", () => {
      over();
      note("out");
    });
  }

  /** Whether one more command may run on a connection. */
  #mayRun({ running }: ClientConnection): boolean {
    const { parallelChannels, maxChannels } = this.#options.switches();
    return running < (parallelChannels === "second-refused" ? 1 : maxChannels);
  }

  /** @param ended called when the command of the session has ended, or the session without one */
  #session(session: Session, connection: ClientConnection, ended: () => void = () => {}): void {
    let runs = false;
    session.on("close", () => runs || ended());
    connection.channels += 1;
    const channelNumber = connection.channels;
    // RouterOS ignores both for exec; ssh2 would refuse them and some clients give up then.
    session.on("pty", (accept: (() => void) | undefined) => accept?.());
    session.on("env", (accept: (() => void) | undefined) => accept?.());
    session.on("sftp", (accept, reject) => {
      if (connection.user?.policies.has("ftp") === true) serveSftp(accept(), this.#options);
      else reject();
    });
    session.on("exec", (accept, reject, info) => {
      if (!this.#mayRun(connection)) {
        reject();
        return;
      }
      const channel = accept();
      channel.on("error", () => {});
      channel.resume();
      const line = Buffer.from(info.command, "utf8").toString("latin1");
      connection.running += 1;
      runs = true;
      this.#options
        .exec({ connection, channelNumber, line, channel })
        .catch((error: unknown) => {
          this.#options.logger.error("the simulator failed on a command", { reason: String(error) });
          connection.drop();
        })
        .finally(() => {
          connection.running -= 1;
          ended();
        });
    });
  }
}
