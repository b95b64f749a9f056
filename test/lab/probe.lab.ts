import { expect } from "bun:test";
import { kind } from "./kind.ts";
import { lab } from "./scenario.ts";
import type { World } from "./world.ts";

const NODE = "node-a";
const FILES = "/run/lab";

interface Item {
  readonly id: string;
  readonly stage: string;
  readonly answer: string;
  readonly came: string;
  readonly switches: Readonly<Record<string, string>>;
}

/** Runs `rds-csi probe --node` as a person on the node does. */
async function probe(world: World): Promise<readonly Item[]> {
  const machine = world.machine(NODE);
  for (const name of ["user-key", "host-key"]) {
    await machine.put(`${FILES}/${name}`, await world.machine("control").get(`${FILES}/${name}`));
  }
  await machine.sh(`chmod 600 ${FILES}/user-key`);
  const options = [
    ...["--rds-address", "192.0.2.1:2222", "--rds-key-file", `${FILES}/user-key`],
    ...["--rds-host-key-file", `${FILES}/host-key`, "--idle", "1", "-o", "json", "--node"],
  ];
  const { stdout, stderr } = await machine.run(`${kind.executable} probe ${options.join(" ")}`, 900_000);
  if (stdout === "") throw new Error(`probe: ${stderr}`);
  return (JSON.parse(stdout) as { items: readonly Item[] }).items;
}

/** Settings that a host sees; each set has another value of all that this kernel's target can have. */
const SETS: readonly Readonly<Record<string, string>>[] = [
  {
    "online-resize": "after-reexport",
    "allow-host-name": "exact",
    "revoked-host": "dropped",
    "re-export": "effective",
    "device-identity": "slot",
  },
  {
    "online-resize": "at-once",
    "allow-host-name": "comma-list",
    "revoked-host": "stays",
    "re-export": "coalesced",
    "device-identity": "nqn",
  },
];

for (const set of SETS) {
  const values = Object.entries(set).map(([name, value]) => `${name}=${value}`);
  const options = {
    nodes: [NODE],
    containers: false,
    simulate: values.flatMap((text) => ["--switch", text]),
  };
  lab(`rds-csi probe --node finds ${values.join(", ")}`, options, (scenario) => {
    scenario("and leaves nothing on the RDS and on the node", async (world) => {
      const items = (await probe(world)).filter(({ stage }) => stage === "node");
      const found = Object.assign({}, ...items.map(({ switches }) => switches));
      const story = items.map(({ id, answer, came }) => `${id}: ${answer} (${came})`).join("\n");
      expect({ ...found, story }).toEqual({
        ...set,
        // This kernel's target knows one behaviour of each.
        "renamed-export": "dropped",
        "connected-hosts": "dropped",
        "host-password": "not-enforced",
        story,
      });
      const { disks, files } = JSON.parse(await world.control("GET", "/state"));
      expect([disks, files.filter(({ path }: { path: string }) => path.includes("csi-probe"))]).toEqual([
        [],
        [],
      ]);
      expect(await world.machine(NODE).sh("ls /sys/class/nvme | wc -l")).toBe("0");
    });
  });
}
