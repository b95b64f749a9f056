import { afterEach, beforeEach, expect, test } from "bun:test";
import { hostKeyPin, type Stack, startStack } from "../../../test/support/rds-stack.ts";
import type { DiagnoseConfig } from "../../diagnose/context.ts";
import { askRds } from "../../diagnose/probes/rds.ts";
import { known } from "../../inspect/fact.ts";
import { testIo } from "../cli.fixture.ts";
import { ExitCode } from "../exit-codes.ts";
import { main } from "../main.ts";

let stack: Stack;
beforeEach(async () => {
  stack = await startStack({ clusterId: "default" });
});
afterEach(async () => {
  stack.simulator.faults.release();
  await stack.close();
});

/** Runs a command on the RDS. */
async function run(args: readonly string[], stop = new AbortController().signal) {
  const io = testIo({ stop });
  const { host, port, hostKeyFingerprints } = stack.simulator;
  const code = await main(
    [
      ...args,
      ...["--rds-address", `${host}:${port}`, "--rds-key-file", stack.keyFile],
      ...["--rds-host-key", `${hostKeyFingerprints[0]}`, "--timeout", "1"],
    ],
    io,
  );
  return { code, ...io.written };
}

const COMMANDS: readonly (readonly string[])[] = [
  ["volumes", "list"],
  ["volumes", "show", "csi-0123456789abcdef0123456789ab"],
  ["volumes", "record", "csi-0123456789abcdef0123456789ab"],
];

for (const args of COMMANDS) {
  test(`${args.slice(0, 2).join(" ")}: of an RDS that hangs after the login it says that SSH works, and which command hangs`, async () => {
    stack.simulator.faults.hang();
    const { code, out, err } = await run(args);
    expect(code).toBe(ExitCode.failure);
    const text = out + err;
    expect(text).toMatch(
      /read the RouterOS version: the RDS at \S+ accepted the SSH login, but has not answered this command within (1|0\.\d+) s/,
    );
    expect(text).not.toMatch(
      /not reachable over SSH|Check power|by the caller|repeated by itself|repeated call/,
    );
  }, 240_000);

  test(`${args.slice(0, 2).join(" ")}: an RDS that refuses connections is not reachable`, async () => {
    stack.simulator.faults.refuseSessions();
    const { code, out, err } = await run(args);
    expect(code).toBe(ExitCode.failure);
    expect(out + err).toContain("is not reachable over SSH");
    expect(out + err).not.toContain("accepted the SSH login");
    expect(out + err).toContain("Repeat the command.");
    expect(out + err).not.toMatch(/repeated by itself|repeated call/);
  }, 240_000);

  test(`${args.slice(0, 2).join(" ")}: a connection that is cut is repeated by the person, who is told so`, async () => {
    for (let times = 0; times < 5; times += 1) stack.simulator.faults.cutAfter({ line: /\/disk/ });
    const { code, out, err } = await run(args);
    expect(code).toBe(ExitCode.failure);
    expect(out + err).toContain("Repeat the command.");
    expect(out + err).not.toMatch(/repeated by itself|repeated call/);
  }, 240_000);
}

test("volumes list names the command that hangs, also if an earlier one was answered", async () => {
  stack.simulator.faults.hang({ line: /\/disk/ });
  const { err } = await run(["volumes", "list"]);
  expect(err).toMatch(/^rds-csi: list volumes and pools: the RDS at \S+ accepted the SSH login/);
  expect(err).toContain("a command that hangs often waits for a disk");
}, 240_000);

test("diagnose takes an RDS that hangs after the login for one that did not answer a question, and names the command", async () => {
  stack.simulator.faults.hang();
  const { host, port, hostKeyFingerprints } = stack.simulator;
  const rds = known({
    ...{ host, port, user: "csi", keyFile: stack.keyFile, passphraseFile: undefined },
    hostKeys: hostKeyFingerprints.map(hostKeyPin),
  });
  const config = {
    rds,
    clusterId: "default",
    nqnPrefix: "nqn.2000-02.com.mikrotik",
  } as unknown as DiagnoseConfig;
  const asked = askRds({ config }, new AbortController().signal, 1_000);
  await expect(asked).rejects.toMatchObject({
    id: "rdsSilent",
    summary: expect.stringContaining("read the RouterOS version: the RDS at"),
  });
}, 240_000);
