import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isPrintable } from "../../src/domain/printable.ts";
import { disconnectPacket, startGreeter } from "../fuzz/hostile-ssh.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { capture } from "../support/processes.ts";
import { block, outcome } from "../support/rpc.ts";
import { connectWith } from "../support/simulator-client.ts";
import { type ServedCommand, startTestServer, testKey } from "../support/ssh-server.ts";
import { type Stand, startStand } from "../support/stand.ts";

/** Clears the screen, sets the title, colours by C1, turns the direction round, starts a line of its own. */
const EVIL = "\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e\u2028\r\nrds-csi: all is well";
const ESCAPED = "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{9b}31m\\u{202e}\\u{2028}";

let directory = "";
let keyFile = "";
const userKey = testKey("ed25519");
beforeAll(async () => {
  directory = await shortDirectory();
  keyFile = join(directory, "key");
  await writeFile(keyFile, userKey.private, { mode: 0o600 });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const list = (port: number, pin: string, ...more: string[]) =>
  capture(executable, [
    ...["volumes", "list", "--timeout", "1", "--rds-address", `127.0.0.1:${port}`],
    ...["--rds-key-file", keyFile, "--rds-host-key", pin, ...more],
  ]);

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

describe("a server that says terminal codes", () => {
  for (const [when, greeting] of [
    ["as the reason of a disconnect, before any key is exchanged", ["SSH-2.0-x\r\n", disconnectPacket(EVIL)]],
    ["as its version", [`SSH-2.0-${EVIL}\r\n`]],
    ["before its version", [`${EVIL}\r\nSSH-1.0-${EVIL}\r\n`]],
  ] as const) {
    test(`${when}: an administrator sees text`, async () => {
      const greeter = await startGreeter((socket) => {
        for (const part of greeting) socket.write(part);
        socket.end();
      });
      try {
        for (const more of [
          [],
          ["-o", "json"],
          ["--log-level", "debug"],
          ["--log-level", "debug", "--log-format", "json"],
        ]) {
          const { code, stdout, stderr } = await list(greeter.port, testKey("ed25519").public, ...more);
          expect([code, stdout]).toEqual([1, ""]);
          expect(lines(stderr).filter((line) => !isPrintable(line))).toEqual([]);
          expect(lines(stderr).filter((line) => line.startsWith("rds-csi: all is well"))).toEqual([]);
          expect(stderr).toContain("is not reachable over SSH");
        }
      } finally {
        await greeter.close();
      }
    });
  }

  test("as an error of RouterOS: the text is there, escaped, and short however long it was", async () => {
    const answer = ({ line, answer: say }: ServedCommand, text: string) =>
      say(`~err:${/~ok:([^~]+)~/.exec(line)?.[1] ?? ""}~${text} (/disk/print; line 1)\r\n`);
    let text = EVIL.replace("\r\n", " ");
    const server = await startTestServer({
      userKeys: [userKey.public],
      onExec: (command) => answer(command, text),
    });
    try {
      const { code, stdout, stderr } = await list(server.port, server.fingerprint);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain(ESCAPED);
      expect(lines(stderr).every(isPrintable)).toBe(true);
      text = "\u001b".repeat(100_000);
      const long = await list(server.port, server.fingerprint);
      expect(long.code).toBe(1);
      expect(long.stderr.length).toBeLessThan(3_000);
    } finally {
      await server.close();
    }
  });
});

describe("a record that nobody can read", () => {
  let stand: Stand;
  beforeAll(async () => {
    stand = await startStand({ executable, directory: join(directory, "s"), startNodes: false });
  });
  afterAll(() => stand?.close());

  /** As somebody with the RouterOS user's key would. */
  const spoil = async (slot: string, comment: string) => {
    const file = (name: string) => readFile(join(stand.directory, name), "utf8");
    const [host = "", port = ""] = (await file("simulator-address")).trim().split(":");
    const login = { username: "csi", privateKey: await file("user-key") };
    const client = await connectWith({ host, port: Number(port) }, login);
    const answer = await client.exec(`/disk/set [find where slot="${slot}"] comment="${comment}"`);
    client.close();
    expect(answer).toMatchObject({ stdout: "", stderr: "" });
  };

  test("hides no other volume, and is reported with its reason", async () => {
    const volumes = [];
    for (const name of ["good", "spoilt"]) {
      const { volume } = await stand.controller.createVolume({
        name,
        capacityRange: { requiredBytes: 8n << 20n },
        volumeCapabilities: [block()],
      });
      volumes.push(volume?.volumeId ?? "");
    }
    const [good = "", spoilt = ""] = volumes;
    await spoil(spoilt, "rds1;n=spoilt;c=default;t=999999999999999");
    for (const format of ["table", "wide", "json", "yaml"]) {
      const { code, stdout, stderr } = await stand.cli("volumes", "list", ...stand.rdsFlags, "-o", format);
      expect([format, code, stderr]).toEqual([format, 0, ""]);
      expect(stdout).toContain(good);
      expect(stdout).toContain(spoilt);
      expect(stdout).toContain("time 999999999999999 is outside 0..253402300799");
    }
    const { entries } = await stand.controller.listVolumes({});
    expect(entries.map(({ volume }) => volume?.volumeId)).toEqual([good]);
    const show = await stand.cli("volumes", "show", spoilt, ...stand.rdsFlags, "--orchestrator", "none");
    expect(show.stdout).toContain("outside 0..253402300799");
    const deleted = await outcome(stand.controller.deleteVolume({ volumeId: spoilt }));
    expect(deleted).toContain("its record cannot be read: time 999999999999999");
    const log = await readFile(join(directory, "s", "controller.log"), "utf8");
    expect(log).not.toContain("Invalid Date");
  });
});
