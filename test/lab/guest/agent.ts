import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, createReadStream, openSync, readFileSync, writeSync } from "node:fs";
import { createConnection } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { Client, credentials } from "@grpc/grpc-js";
import type { Notice, Reply, Request } from "./protocol.ts";

// Runs on a lab machine, started by init.sh, with the mailbox as argument where there is one: does what the test asks for, many
// things at once, so that one that hangs does not keep the others. It touches no device itself.

// It is for this process, see init.sh of the QEMU machines: the driver refuses to run with it.
delete process.env.BUN_JSC_useJIT;

/** A terminal takes part of a long line at a time. */
function say(message: Reply | Notice): void {
  const line = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let done = 0; done < line.length; ) {
    try {
      done += writeSync(1, line, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

function execute({ id, script, deadlineMs }: Extract<Request, { op: "exec" }>): void {
  const child = spawn("/bin/dash", ["-c", script], {
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let stdout = "";
  let stderr = "";
  let settled = false;
  child.stdout.setEncoding("utf8").on("data", (data: string) => {
    stdout += data;
  });
  child.stderr.setEncoding("utf8").on("data", (data: string) => {
    stderr += data;
  });
  const settle = (code: number | string) => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    say({ id, kind: "exec", code, stdout, stderr });
  };
  // One in uninterruptible sleep is not ended by this; it is left behind.
  const timer = setTimeout(() => {
    killGroup(child);
    settle("deadline");
  }, deadlineMs);
  child.on("error", (error) => settle(error.message));
  child.on("close", (code, signal) => settle(code ?? signal ?? "?"));
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function start({ id, name, program, args, environment }: Extract<Request, { op: "start" }>): void {
  const log = openSync(`/run/${name}.log`, "a");
  const env = { PATH: process.env.PATH ?? "", LC_ALL: "C", HOME: "/run", ...environment };
  const child = spawn(program, args, { cwd: "/", env, stdio: ["ignore", log, log], detached: true });
  closeSync(log);
  const { pid } = child;
  child.on("error", (error) => pid === undefined && say({ id, kind: "error", message: error.message }));
  if (pid === undefined) return;
  child.on("exit", (code, signal) => say({ kind: "ended", pid, how: signal ?? String(code) }));
  say({ id, kind: "started", pid });
}

const clients = new Map<string, Client>();
const same = (bytes: Buffer) => bytes;

function call({ id, socket, path, body, deadlineMs }: Extract<Request, { op: "rpc" }>): void {
  let client = clients.get(socket);
  if (client === undefined) {
    client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 200,
    });
    clients.set(socket, client);
  }
  const deadline = Date.now() + deadlineMs;
  client.makeUnaryRequest(path, same, same, Buffer.from(body, "base64"), { deadline }, (error, value) => {
    if (error !== null) say({ id, kind: "rpc-error", code: error.code, details: error.details });
    else say({ id, kind: "rpc", body: (value ?? Buffer.alloc(0)).toString("base64") });
  });
}

/** A connection for one command: QEMU greets, wants the capabilities negotiated, and mixes events into its answers. */
function qmp({ id, socket, command, arguments: args, deadlineMs }: Extract<Request, { op: "qmp" }>): void {
  const line = createConnection(socket);
  let settled = false;
  const settle = (reply: Reply) => {
    if (settled) return;
    settled = true;
    line.destroy();
    say(reply);
  };
  const fail = (message: string) => settle({ id, kind: "error", message: `${command}: ${message}` });
  line.setTimeout(deadlineMs, () => fail("deadline"));
  line.on("error", (error) => fail(error.message));
  line.on("close", () => fail("QEMU has ended the connection"));
  const ask = (execute: string, tag: number, more: object = {}) =>
    line.write(`${JSON.stringify({ execute, id: tag, arguments: more })}\n`);
  createInterface({ input: line }).on("line", (text) => {
    const message = JSON.parse(text) as {
      QMP?: object;
      id?: number;
      error?: { desc: string };
      return?: unknown;
    };
    if (message.QMP !== undefined) ask("qmp_capabilities", 1);
    else if (message.error !== undefined) fail(message.error.desc);
    else if (message.id === 1) ask(command, 2, args);
    else if (message.id === 2) settle({ id, kind: "qmp", value: message.return });
  });
}

function answer(request: Request): void {
  switch (request.op) {
    case "exec":
      execute(request);
      break;
    case "start":
      start(request);
      break;
    case "rpc":
      call(request);
      break;
    case "qmp":
      qmp(request);
      break;
  }
}

const [mailbox = ""] = process.argv.slice(2);

/** A request that came over the line itself, or lies in the mailbox under the number that did. */
const requestOf = (line: string): string =>
  line.startsWith("{") ? line : readFileSync(`${mailbox}/${Number(line)}`, "utf8");

// First: a virtio port that is not connected yet makes a writer wait, but tells a reader that it has ended.
say({ kind: "ready" });
const requests = createInterface({ input: createReadStream("", { fd: 0 }) });
// Whoever started the machine has ended: so does this, and with it the machine.
requests.on("close", () => process.exit(0));
requests.on("line", (line) => {
  let id = Number(line);
  try {
    const request = JSON.parse(requestOf(line)) as Request;
    id = request.id;
    answer(request);
  } catch (error) {
    say({ id, kind: "error", message: String(error) });
  }
});
