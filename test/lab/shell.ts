import process from "node:process";
import { createInterface } from "node:readline/promises";
import { World } from "./world.ts";

const HELP = `Machines: rds, control, node-a, node-b. The driver runs on them; logs are /run/*.log there.
  MACHINE COMMAND...   runs a shell command, e.g. node-a nvme list-subsys
  cut MACHINE          pulls its network cable; mend MACHINE puts it back
  delay MACHINE MS     delays its frames; lose MACHINE N loses every Nth (0: none)
  off MACHINE          pulls its plug; on MACHINE boots it (start the driver with: start MACHINE)
  pause MACHINE, resume MACHINE
  help, exit`;

const world = await World.start();
console.log(HELP);
const input = createInterface({
  input: process.stdin,
  output: process.stdout,
  terminal: process.stdin.isTTY,
});
process.stdout.write("lab> ");
for await (const line of input) {
  const [verb = "", name = "", ...rest] = line.trim().split(/\s+/);
  if (verb === "exit") break;
  try {
    console.log(await command(verb, name, rest, line));
  } catch (error) {
    console.log(String(error));
  }
  process.stdout.write("lab> ");
}
input.close();
await world.close();

async function command(verb: string, name: string, rest: readonly string[], line: string): Promise<string> {
  switch (verb) {
    case "":
      return "";
    case "cut":
    case "mend":
      world.cable(name).up = verb === "mend";
      return "";
    case "delay":
      world.cable(name).delayMs = Number(rest[0]);
      return "";
    case "lose":
      world.cable(name).loseEvery = Number(rest[0]);
      return "";
    case "off":
      await world.machine(name).powerOff();
      return "";
    case "on":
      return `up after ${Math.round((await world.boot(name)).bootMs)} ms`;
    case "start":
      if (name === "rds") await world.startRds();
      else if (name === "control") await world.startController();
      else await world.startNode(name);
      return "";
    case "pause":
      world.machine(name).pause();
      return "";
    case "resume":
      world.machine(name).resume();
      return "";
    case "help":
      return HELP;
    default: {
      const { code, stdout, stderr } = await world.machine(verb).run(line.trim().slice(verb.length), 60_000);
      return `${stdout}${stderr}${code === 0 ? "" : `(ended with ${code})`}`.trimEnd();
    }
  }
}
