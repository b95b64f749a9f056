import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseHostKeyPin } from "../../src/routeros/transport/host-keys.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { connectWith } from "../support/simulator-client.ts";
import { lacking, type PageSteps, startPageSteps } from "./page-steps.fixture.ts";
import { page, ROOT } from "./pages.fixture.ts";

// docs/rds-setup.md in its order: OpenSSH against a simulator that has nobody but its administrator.

const missing = lacking([
  "bash",
  "ssh",
  "scp",
  "ssh-keygen",
  "ssh-keyscan",
  "sed",
  "cut",
  "openssl",
  "base64",
  "tail",
]);

const setup = page("docs/rds-setup.md");
const steps = setup.blocks.filter(({ note }) => note === "run on the simulator");

/** What stands in for the addresses of the controller on the page. */
const REPLACED = { "192.0.2.0/25": "127.0.0.0/8" };

let run: PageSteps | undefined;
let simulator: Simulator;
const outputs: string[] = [];

describe.skipIf(missing !== "")(`docs/rds-setup.md ${missing}`, () => {
  beforeAll(async () => {
    run = await startPageSteps({
      address: "192.0.2.1",
      replace: REPLACED,
      functions: () => [`mkdir -p manifests && cp -rn ${ROOT}/manifests/rds manifests/`],
    });
    simulator = run.simulator;
    const { exec, close } = await connectWith(simulator, { username: "admin", privateKey: run.adminKey });
    for (const { language, text } of steps) {
      if (language === "sh") outputs.push(await run.shell(text));
      else {
        let output = "";
        for (const line of text.trim().split("\n")) {
          output += (await exec(line.replaceAll("192.0.2.0/25", REPLACED["192.0.2.0/25"]))).stdout;
        }
        outputs.push(output);
        // What the page tells the reader to copy from the console.
        const key = /-----BEGIN PUBLIC KEY-----[\s\S]*-----END PUBLIC KEY-----/.exec(output)?.[0];
        if (key !== undefined)
          await writeFile(join(run.directory, "console.pem"), `${key.replaceAll("\r", "")}\n`);
      }
    }
    close();
  }, 240_000);
  afterAll(() => run?.close());

  /** The output of the one step whose commands contain `text`. */
  const outputOf = (text: string): string => {
    const found = steps.flatMap((step, at) => (step.text.includes(text) ? [at] : []));
    expect([text, found.length]).toEqual([text, 1]);
    return outputs[found[0] ?? -1] ?? "";
  };

  test("every step ran, and none failed", () => {
    expect(outputs).toHaveLength(steps.length);
    expect(steps.length).toBeGreaterThan(11);
    const failures = simulator.commands.filter(({ outcome }) => outcome !== "ok").map(({ line }) => line);
    expect(failures).toEqual(["/user/group/add name=must-fail"]);
  });

  test("the script made the user, and the login, the refusal and the list are as the page says", () => {
    expect(outputOf("/disk/get storage-pool mounted")).toContain("true");
    expect(outputOf("-f rds-csi-key\n")).toBe("");
    const script = steps.findIndex(({ text }) => text.includes("manifests/rds/bootstrap.rsc"));
    expect(outputs[script]).toContain("user csi: added");
    expect(outputs[script]).toContain("Script file loaded and executed successfully");
    const tried = outputOf("must-fail");
    expect(tried).toStartWith("7.24.5 (stable)");
    expect(tried).toContain("not enough permissions (9)");
    expect(tried).toContain("No volumes.");
  });

  test("console and network show one fingerprint, and no half of the key stays on the device", () => {
    const [fingerprint = ""] = simulator.hostKeyFingerprints;
    expect(outputOf("/ip/ssh/export-host-key")).not.toContain("PRIVATE KEY");
    expect(outputOf("ssh-keygen -lf rds-host-key")).toContain(fingerprint);
    expect(outputOf("ssh-keygen -lf -")).toContain(fingerprint);
  });

  test("an RSA key takes the way that the page says", async () => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const command = /`(ssh-keygen -i -m PKCS8 [^`]+)`/.exec(setup.text)?.[1] ?? "";
    const file = join(run?.directory ?? "", "rsa.pem");
    await writeFile(file, publicKey.export({ type: "spki", format: "pem" }));
    const shown = await run?.shell(`${command.replace("console.pem", file).replace(/>.*/, "")}`);
    expect(shown).toStartWith("ssh-rsa AAAA");
    expect(parseHostKeyPin(shown ?? "")).toMatchObject({ type: "ssh-rsa" });
  });

  test("the log tells who did what", () => {
    const log = outputOf('/log/print where topics~"account"');
    expect(log).toContain("user csi logged in from 127.0.0.1 via ssh");
    expect(log).toMatch(/admin +127\.0\.0\.1 +ssh/);
  });

  test("after the change of keys there is one, and in the end nothing is left but the folder", () => {
    const keys = outputOf("/user/ssh-keys/print where user=csi");
    expect(keys.match(/csi +ed25519/g)).toHaveLength(1);
    expect(outputOf("'/import file-name=remove.rsc'")).toContain("user csi: removed");
    expect(simulator.device.management.accounts.users.map(({ name }) => name)).toEqual(["admin"]);
    expect(simulator.device.management.flash.entries).toEqual([]);
    expect(outputOf('/file/print where name~"^storage-pool/csi"')).toContain("storage-pool/csi");
  });
});

test("docs/rds-setup.md: RouterOS commands that were not run say so, and the table has the policies of the script", async () => {
  const { text } = setup;
  const silent = setup.blocks.filter(
    (block) => block.note === "" && !/Not run[^#]*$/.test(text.slice(0, text.indexOf(block.text))),
  );
  expect(silent).toEqual([]);
  const script = await Bun.file(join(ROOT, "manifests/rds/bootstrap.rsc")).text();
  const granted = [...script.matchAll(/policy=(\S+)/g)].map(([, words = ""]) =>
    words.split(",").filter((word) => !word.startsWith("!")),
  );
  const table = [...text.matchAll(/^\| `([a-z]+)` \|/gm)].map(([, policy = ""]) => policy);
  expect(granted).toEqual([table, table]);
});
