import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import ssh2 from "ssh2";
import { pinOf, publicLine, testKey } from "../../../test/support/ssh-server.ts";
import { until } from "../../../test/support/until.ts";
import { CommandQueue } from "./command-queue.ts";
import { hostKeyAlgorithms, isPinned, parseHostKeyFile, parseHostKeyPin } from "./host-keys.ts";
import { idOf, read, startBench } from "./transport.fixture.ts";
import { readUserKey } from "./user-key.ts";

describe("host key pins", () => {
  const ed = testKey("ed25519");
  const line = publicLine(ed.public);
  const blob = Buffer.from(line.split(" ")[1] ?? "", "base64");
  const fingerprint = `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=/g, "")}`;

  test("fingerprint, key line and known_hosts lines mean the same key", () => {
    for (const text of [
      fingerprint,
      `${fingerprint}=`,
      `sha256:${fingerprint.slice(7)}`,
      line,
      `  ${line} a comment  `,
      `rds.example ${line}`,
      `[192.0.2.1]:2222,rds ${line}`,
      `|1|c2FsdA==|aGFzaA== ${line}`,
    ]) {
      const pin = parseHostKeyPin(text);
      expect(pin).toMatchObject({ fingerprint });
      expect(isPinned([pin as never], blob)).toBe(true);
    }
    expect(isPinned([pinOf(testKey("ed25519").public)], blob)).toBe(false);
    expect(isPinned([], blob)).toBe(false);
  });

  test("everything else is a mistake that says why", () => {
    const cases: [string, RegExp][] = [
      ["", /empty/],
      ["SHA256:short", /43 base64/],
      ["MD5:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00", /MD5/],
      [`@revoked host ${line}`, /@revoked/],
      [publicLine(testKey("ecdsa").public), /ecdsa-sha2-nistp256/],
      [line.slice(0, 30), /not a complete/],
      [line.replace("ssh-ed25519", "ssh-rsa"), /not a complete/],
      ["ssh-ed25519", /not a complete/],
      ["hello world", /neither/],
    ];
    for (const [text, why] of cases) expect(parseHostKeyPin(text)).toMatch(why);
  });

  test("arbitrary text never throws and never pins by accident", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const pin = parseHostKeyPin(text);
        expect(typeof pin === "string" || pin.fingerprint.length === 50).toBe(true);
      }),
    );
  });

  test("a file has one pin per line", () => {
    const text = `# keys\n\n${fingerprint}\r\nrds ${line}\nbad\n`;
    const { pins, mistakes } = parseHostKeyFile(text);
    expect(pins.length).toBe(2);
    expect(mistakes).toEqual([expect.stringMatching(/^line 5 is neither/)]);
  });

  test("offered algorithms follow the pinned types, never SHA-1", () => {
    const rsa = pinOf(testKey("rsa").public);
    expect(hostKeyAlgorithms([pinOf(line)])).toEqual(["ssh-ed25519"]);
    expect(hostKeyAlgorithms([rsa])).toEqual(["rsa-sha2-512", "rsa-sha2-256"]);
    const all = ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"] as never;
    expect(hostKeyAlgorithms([rsa, pinOf(fingerprint)])).toEqual(all);
    expect(hostKeyAlgorithms([])).toEqual(all);
  });

  test("the file of pins is read for each connection: what is put into it counts, what is taken out does no more", async () => {
    const made = await startBench();
    const hostKeyFile = join(made.directory, "known_hosts");
    const { hostLine, port } = made.server;
    const pinned = (text: string) => writeFile(hostKeyFile, text);
    await pinned(`rds ${publicLine(testKey("ed25519").public)}\n`);
    const other = await startBench({}, { port, keyFile: made.keyFile, hostKeys: [], hostKeyFile });
    const { transport } = other;
    expect(await idOf(transport.exec("x", read()))).toBe("hostKeyMismatch");
    await pinned(`rds ${publicLine(testKey("ed25519").public)}\nrds ${hostLine}\n`);
    expect((await transport.exec("x", read())).stdout).toBe("x");
    await pinned(`rds ${hostLine}\nno key\n`);
    expect((await transport.exec("still connected", read())).exitCode).toBe(0);
    made.server.cutAll();
    await until("the cut is noticed", () => !transport.connected("read"));
    // A pin that cannot be read may be the one that has to go.
    const call = transport.exec("x", read());
    await expect(call).rejects.toMatchObject({ id: "hostKeysUnusable" });
    await expect(call).rejects.toThrow(`${hostKeyFile}: line 2 is neither`);
    await rm(hostKeyFile);
    expect(await idOf(transport.exec("x", read()))).toBe("hostKeysUnusable");
    await pinned("");
    expect(await idOf(transport.exec("x", read()))).toBe("hostKeyMismatch");
    await pinned(`rds ${hostLine}\n`);
    expect((await transport.exec("x", read())).stdout).toBe("x");
    await Promise.all([made.close(), other.close()]);
  });
});

/** An encrypted key in the OpenSSH form; ssh2's generator makes an unreadable key once in 256. */
function encryptedOpenSsh(passphrase: string): string {
  for (;;) {
    const made = ssh2.utils.generateKeyPairSync("ed25519", { passphrase, cipher: "aes256-ctr", rounds: 4 });
    if (!(ssh2.utils.parseKey(made.public) instanceof Error)) return made.private;
  }
}

describe("user keys", () => {
  let directory = "";
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "rds-csi-key-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  async function file(name: string, text: string): Promise<string> {
    const path = join(directory, name);
    await writeFile(path, text);
    return path;
  }

  const ed = generateKeyPairSync("ed25519").privateKey;
  const rsa = createPrivateKey(testKey("rsa").private);
  const secret = { cipher: "aes-256-cbc", passphrase: "pass word" };

  test("reads Ed25519 and RSA in every usual form, and the key signs", async () => {
    const openssh = testKey("ed25519");
    const forms: [string, string, "ssh-ed25519" | "ssh-rsa", boolean][] = [
      ["openssh", openssh.private, "ssh-ed25519", false],
      ["ed-pkcs8", ed.export({ type: "pkcs8", format: "pem" }).toString(), "ssh-ed25519", false],
      [
        "ed-pkcs8-enc",
        ed.export({ type: "pkcs8", format: "pem", ...secret }).toString(),
        "ssh-ed25519",
        true,
      ],
      ["rsa-pem", rsa.export({ type: "pkcs1", format: "pem" }).toString(), "ssh-rsa", false],
      ["rsa-pkcs8", rsa.export({ type: "pkcs8", format: "pem" }).toString(), "ssh-rsa", false],
      ["rsa-pkcs8-enc", rsa.export({ type: "pkcs8", format: "pem", ...secret }).toString(), "ssh-rsa", true],
      ["openssh-enc", encryptedOpenSsh("pass word"), "ssh-ed25519", true],
    ];
    const passphraseFile = await file("passphrase", "pass word\n");
    for (const [name, text, type, encrypted] of forms) {
      const keyFile = await file(name, `\n${text}\n`);
      const key = await readUserKey(encrypted ? { keyFile, passphraseFile } : { keyFile });
      expect(key.type).toBe(type);
      const hash = type === "ssh-rsa" ? "sha256" : undefined;
      expect(key.verify("data", key.sign("data", hash), hash)).toBe(true);
      if (name === "ed-pkcs8") {
        const jwk = ed.export({ format: "jwk" });
        expect(key.getPublicSSH().subarray(-32).toString("base64url")).toBe(jwk.x ?? "");
      }
      if (encrypted) {
        await expect(readUserKey({ keyFile })).rejects.toThrow(/no passphrase file is set/);
        const wrong = await file("wrong", "other");
        await expect(readUserKey({ keyFile, passphraseFile: wrong })).rejects.toThrow(/passphrase/);
      }
    }
  });

  test("refuses everything else with the file name and a cure, never with key material", async () => {
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const cases: [string, string, RegExp][] = [
      ["ec-openssh", testKey("ecdsa").private, /ecdsa-sha2-nistp256.*ssh-keygen -t ed25519/],
      ["ec-sec1", ec.export({ type: "sec1", format: "pem" }).toString(), /ecdsa.*ssh-keygen -t ed25519/],
      [
        "ec-pkcs8",
        ec.export({ type: "pkcs8", format: "pem" }).toString(),
        /of type ec.*ssh-keygen -t ed25519/,
      ],
      ["public", testKey("ed25519").public, /public key/],
      ["empty", "", /no private key/],
      ["text", "hello", /no private key/],
      ["damaged", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", /damaged/],
      ["large", "x".repeat(70_000), /larger than/],
    ];
    for (const [name, text, why] of cases) {
      const keyFile = await file(name, text);
      const error = await readUserKey({ keyFile }).then(
        () => new Error("accepted"),
        (found: Error) => found,
      );
      expect(error.message).toMatch(why);
      expect(error.message).toContain(keyFile);
      const secretPart = text.split("\n")[2];
      if (secretPart !== undefined && secretPart.length > 20) expect(error.message).not.toContain(secretPart);
    }
    await expect(readUserKey({ keyFile: join(directory, "lost") })).rejects.toThrow(/ENOENT/);
    await expect(readUserKey({ keyFile: directory })).rejects.toThrow(/is not a file/);
  });
});

test("queue: background commands are never starved, nothing is lost or doubled", () => {
  const queue = new CommandQueue<{
    key: string | undefined;
    priority: "interactive" | "background";
    sequence: number;
    id: number;
  }>(100);
  queue.push({ key: "b", priority: "background", sequence: 0, id: -1 });
  for (let id = 0; id < 50; id += 1)
    queue.push({ key: undefined, priority: "interactive", sequence: id + 1, id });
  const order: number[] = [];
  for (let item = queue.take(); item !== undefined; item = queue.take()) order.push(item.id);
  expect(order.indexOf(-1)).toBe(8);
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 51 }, (_, i) => i - 1));
});

test("queue: commands that were not sent after all come back into their places, also those of a lost connection together", () => {
  const queue = new CommandQueue<{ key: undefined; priority: "interactive"; sequence: number }>(100);
  for (let sequence = 1; sequence <= 5; sequence += 1)
    queue.push({ key: undefined, priority: "interactive", sequence });
  const taken = [queue.take(), queue.take(), queue.take()].flatMap((item) => item ?? []);
  for (const item of taken) queue.putBack(item);
  expect(queue.items.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5]);
});

test("a line that is no host key is not quoted: it may be of a file with a secret", () => {
  for (const line of ["@CANARY-0123 x", "sk-CANARY-0123", "ssh-CANARY-0123 AAAA", "host ecdsa-CANARY-0123"])
    expect(String(parseHostKeyPin(line))).not.toContain("CANARY");
  expect(parseHostKeyPin("@cert-authority * ssh-rsa AAAA")).toContain("marker @cert-authority");
  expect(parseHostKeyPin("ecdsa-sha2-nistp256 AAAA")).toContain("key type ecdsa-sha2-nistp256");
});
