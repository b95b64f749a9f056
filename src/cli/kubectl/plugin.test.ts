import { describe, expect, test } from "bun:test";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { testIo } from "../cli.fixture.ts";
import { buildPlugin } from "./plugin.ts";

interface Shape {
  readonly name: string;
  readonly namespace?: string;
  readonly component?: string;
  readonly node?: string;
  readonly ready?: boolean;
  readonly running?: boolean;
  readonly deleting?: boolean;
}

/** A pod as the API server answers it. */
const pod = ({
  name,
  namespace = "rds-csi",
  node = "worker-1",
  ready = true,
  running = true,
  deleting = false,
}: Shape) => ({
  metadata: { name, namespace, ...(deleting ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}) },
  spec: { nodeName: node },
  status: {
    phase: running ? "Running" : "Pending",
    containerStatuses: [
      { name: "csi-attacher", ready: true, state: { running: {} } },
      { name: "driver", ready, state: running ? { running: {} } : { waiting: {} } },
    ],
  },
});

/** kubectl with pods; what it is asked and what it runs is kept. */
function cluster(pods: readonly Shape[], isTerminal = false) {
  const asked: string[][] = [];
  const ran: string[][] = [];
  const io = testIo();
  const kubectl = async (args: readonly string[]): Promise<string> => {
    asked.push([...args]);
    const at = args.indexOf("-n");
    const component = /component=(\w+)/.exec(args.join(" "))?.[1];
    const found = pods.filter(
      (each) =>
        (each.component ?? "controller") === component &&
        (at < 0 || (each.namespace ?? "rds-csi") === args[at + 1]),
    );
    return JSON.stringify({ items: found.map(pod) });
  };
  const attached = async (args: readonly string[]): Promise<number> => {
    ran.push([...args]);
    return 3;
  };
  let code: number | undefined;
  const run = async (...args: readonly string[]) => {
    const plugin = buildPlugin(io, { kubectl, attached, isTerminal }, (given) => {
      code = given;
    });
    await plugin.parseAsync([...args], { from: "user" });
    return { code, ran: ran.at(-1)?.join(" ") };
  };
  return { run, asked, ran, io };
}

const failed = async (call: Promise<unknown>): Promise<string> => {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DriverError)) throw error;
  return `${error.id}: ${error.summary}`;
};

describe("kubectl rds", () => {
  test("runs a command of volumes in a ready controller pod, with its words and its exit code", async () => {
    const { run, asked } = cluster([
      { name: "starting", ready: false },
      { name: "leaving", deleting: true },
      { name: "waiting", running: false },
      { name: "good" },
    ]);
    expect(await run("volumes", "list", "-n", "vms", "--problems", "-o", "json")).toEqual({
      code: 3,
      ran: "exec -n rds-csi good -c driver -- rds-csi volumes list -n vms --problems -o json",
    });
    expect(asked).toHaveLength(1);
    expect((await run("snapshots", "list", "--help")).ran).toBe(
      "exec -n rds-csi good -c driver -- rds-csi snapshots list --help",
    );
    expect((await run("volumes", "--help")).ran).toEndWith("rds-csi volumes --help");
  });

  test("takes one that is not ready rather than none: it may be the RDS that is away", async () => {
    expect((await cluster([{ name: "starting", ready: false }]).run("volumes", "list")).ran).toContain(
      " starting ",
    );
  });

  test("a terminal is passed on; options of kubectl and the namespace too", async () => {
    const { run } = cluster([{ name: "c", namespace: "storage" }, { name: "d" }], true);
    expect(
      (await run("--context", "lab", "--kubeconfig", "/k", "--namespace", "storage", "volumes", "list")).ran,
    ).toBe("--context lab --kubeconfig /k exec -i -t -n storage c -c driver -- rds-csi volumes list");
  });

  test("finds an installation in another namespace", async () => {
    const { run, asked } = cluster([{ name: "c", namespace: "storage" }]);
    expect((await run("volumes", "list")).ran).toContain("-n storage c ");
    expect(asked.map((args) => args.includes("--all-namespaces"))).toEqual([false, true]);
  });

  test("diagnose runs on the named node", async () => {
    const nodes = ["worker-1", "worker-2"].map((node) => ({ name: `n-${node}`, node, component: "node" }));
    const { run } = cluster(nodes);
    expect((await run("diagnose", "worker-2", "--volume", "vms/a")).ran).toBe(
      "exec -n rds-csi n-worker-2 -c driver -- rds-csi diagnose --volume vms/a",
    );
    expect(await failed(run("diagnose", "worker-3"))).toBe(
      "pluginNoPod: there is no node pod of rds-csi on node worker-3 that runs the command: nodes with one: worker-1, worker-2; did you mean worker-1?",
    );
  });

  test("says why no pod can run it", async () => {
    expect(await failed(cluster([{ name: "c", running: false }]).run("volumes", "list"))).toEndWith(
      "c is Pending",
    );
    expect(await failed(cluster([]).run("volumes", "list"))).toEndWith("no namespace has one");
    expect(await failed(cluster([{ name: "c" }]).run("--namespace", "x", "volumes", "list"))).toEndWith(
      "namespace x has none",
    );
    const io = testIo();
    const kubectl = () => Promise.reject(new Error("error: You must be logged in to the server"));
    const plugin = buildPlugin(io, { kubectl, attached: async () => 0, isTerminal: false }, () => {});
    expect(await failed(plugin.parseAsync(["volumes", "list"], { from: "user" }))).toBe(
      "pluginKubectl: kubectl could not look for the pods of rds-csi: error: You must be logged in to the server",
    );
  });

  test("a file of the pod is refused, as the user would look for it here", async () => {
    const { run, ran } = cluster([{ name: "n", component: "node" }]);
    for (const words of [["--bundle", "x"], ["--bundle=x"]])
      expect(await failed(run("diagnose", "worker-1", ...words))).toStartWith(
        "pluginFile: --bundle names a file",
      );
    expect(ran).toEqual([]);
  });

  test("version: its own, and the controller's", async () => {
    const { run, io } = cluster([{ name: "c" }]);
    expect((await run("version")).ran).toEndWith("rds-csi version");
    expect(io.written.out).toStartWith("rds-csi ");
  });
});
