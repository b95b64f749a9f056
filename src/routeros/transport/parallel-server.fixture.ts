import { setTimeout as delay } from "node:timers/promises";
import type { ServedCommand, TestServerOptions } from "../../../test/support/ssh-server.ts";
import type { SshTransportOptions } from "./ssh-transport.ts";
import { type Bench, change, startBench } from "./transport.fixture.ts";

/** A server that runs its commands until the test ends them, except for those that the driver asks with. */
export interface HeldBench extends Bench {
  /** Commands that run now, in the order of their arrival. */
  readonly held: ServedCommand[];
  /** Lines of the tests, in the order of arrival. */
  readonly asked: string[];
  /** Whether a question of the driver runs. */
  isAsked(): boolean;
  /** Answers a running command with its line. */
  end(line: string): void;
}

/** The driver's own question whether two channels run at the same time. */
const PROBE = /^(?::delay (\d+)ms|:put 1)$/;

/** Answers a question of the driver as a device does. @returns whether the line is one */
export async function answerProbe(command: ServedCommand): Promise<boolean> {
  const found = PROBE.exec(command.line);
  if (found === null) return false;
  if (found[1] !== undefined) await delay(Number(found[1]));
  command.answer(found[1] === undefined ? "1" : "");
  return true;
}

/** A transport with several channels, and a server that holds the commands of the tests. Channels of lines that begin with `hang` do not close. */
export async function startHeld(
  server: TestServerOptions = {},
  transport: Partial<SshTransportOptions> = {},
): Promise<HeldBench> {
  const held: ServedCommand[] = [];
  let probing = 0;
  const asked: string[] = [];
  const made = await startBench(
    {
      onExec: (command) => {
        if (PROBE.test(command.line)) {
          probing += 1;
          command.channel.on("close", () => {
            probing -= 1;
          });
          void answerProbe(command);
          return;
        }
        // As OpenSSH does: the channel stays until the command ends.
        if (command.line.startsWith("hang")) command.channel.close = () => {};
        asked.push(command.line);
        held.push(command);
        command.channel.on("close", () => {
          const at = held.indexOf(command);
          if (at >= 0) held.splice(at, 1);
        });
      },
      ...server,
    },
    { channels: 4, ...transport },
  );
  return Object.assign(made, {
    held,
    isAsked: () => probing > 0,
    asked,
    end: (line: string) => {
      const at = held.findIndex((command) => command.line === line);
      held.splice(at, 1)[0]?.answer(line);
    },
  });
}

/** Lets the device prove that it runs channels at the same time: two commands at once, then a third. */
export async function proveParallel({ transport, held, end, isAsked }: HeldBench): Promise<void> {
  const first = transport.exec("first of all", change());
  const second = transport.exec("second of all", change());
  const ended = Promise.all([first, second]);
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over || isAsked()) {
    for (const { line } of [...held]) end(line);
    await delay(1);
  }
}

/** Answers a command after a while. The device has room for another one before the answer arrives. */
export async function answered(command: ServedCommand, ms: number, ended: () => void): Promise<void> {
  const answer = (text: string): void => {
    ended();
    command.answer(text);
  };
  if (await answerProbe({ ...command, answer })) return;
  await delay(ms);
  answer(command.line);
}
