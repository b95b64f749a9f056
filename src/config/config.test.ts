import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { pinOf, publicLine, testKey } from "../../test/support/ssh-server.ts";
import { configurationDocs } from "../cli/configuration-docs.ts";
import { commandOptions, knownNames } from "../cli/options.ts";
import { loadSimulateConfig } from "../cli/simulate.ts";
import { ConfigError } from "./config-error.ts";
import { type Input, loadControllerConfig, loadNodeConfig, loadVolumesConfig } from "./load.ts";
import { envNameOf, type OptionTable } from "./option.ts";
import * as parse from "./parsers.ts";

let directory = "";
let keyFile = "";
const hostKey = testKey("ed25519");
const pin = pinOf(hostKey.public).fingerprint;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-config-"));
  keyFile = await file("key", testKey("ed25519").private);
});
afterAll(() => rm(directory, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

/** Flags of a complete controller configuration, changed by `more`; undefined removes one. */
function flags(more: Record<string, readonly string[] | undefined> = {}): Record<string, readonly string[]> {
  const all = {
    "rds-address": ["192.0.2.1"],
    "rds-key-file": [keyFile],
    "rds-host-key": [pin],
    nodes: ["n1"],
    ...more,
  };
  return Object.fromEntries(Object.entries(all).filter((entry) => entry[1] !== undefined)) as never;
}

async function mistakes(
  load: Promise<unknown>,
): Promise<readonly { where: string; problem: string; remedy: string }[]> {
  const error = await load.then(
    () => undefined,
    (found: unknown) => found,
  );
  if (error === undefined) return [];
  if (!(error instanceof ConfigError)) throw error;
  return error.mistakes;
}

const controller = (input: Partial<Input>) => loadControllerConfig({ flags: {}, env: {}, ...input });

describe("controller configuration", () => {
  test("has the documented defaults, is complete and frozen", async () => {
    const config = await controller({ flags: flags() });
    expect(config).toEqual({
      endpoint: "/csi/csi.sock",
      driverName: "rds.csi.srvlab.io",
      metricsAddress: "",
      shutdownTimeoutSeconds: 25,
      // The cluster is asked for it.
      clusterId: undefined,
      maxVolumesPerNode: 0,
      nqnPrefix: "nqn.2000-02.com.mikrotik",
      pool: "storage-pool",
      directory: "csi",
      nvmeAddress: "192.0.2.1",
      nvmePort: 4420,
      reserveBytes: 1_073_741_824n,
      fencing: "epoch",
      onlineExpansion: "announce",
      orchestrator: "kubernetes",
      kubeconfig: undefined,
      leaseNamespace: undefined,
      podName: undefined,
      nodes: ["n1"],
      logLevel: "info",
      logFormat: "text",
      rds: {
        host: "192.0.2.1",
        port: 22,
        user: "csi",
        keyFile,
        passphraseFile: undefined,
        hostKeys: [{ fingerprint: pin, type: undefined }],
      },
    });
    expect([config, config.rds, config.nodes, config.rds.hostKeys].every(Object.isFrozen)).toBe(true);
  });

  test("a flag beats the environment, which beats the file, which beats the default", async () => {
    const path = await file("precedence.yaml", "rds-user: from-file\npool: p-file\ncluster-id: c-file\n");
    const input = {
      flags: flags({ config: [path], "rds-user": ["from-flag"] }),
      env: { RDS_CSI_RDS_USER: "e", RDS_CSI_POOL: "p-env" },
    };
    const config = await controller(input);
    expect([config.rds.user, config.pool, config.clusterId, config.directory]).toEqual([
      "from-flag",
      "p-env",
      "c-file",
      "csi",
    ]);
    const byEnv = await controller({ ...input, flags: flags(), env: { ...input.env, RDS_CSI_CONFIG: path } });
    expect([byEnv.rds.user, byEnv.pool, byEnv.clusterId]).toEqual(["e", "p-env", "c-file"]);
  });

  test("CSI_ENDPOINT counts, but less than the own variable; empty variables do not count", async () => {
    const env = { CSI_ENDPOINT: "unix:///run/a.sock" };
    expect((await controller({ flags: flags(), env })).endpoint).toBe("/run/a.sock");
    const both = { ...env, RDS_CSI_ENDPOINT: "/run/b.sock", RDS_CSI_POOL: "" };
    const config = await controller({ flags: flags(), env: both });
    expect([config.endpoint, config.pool]).toEqual(["/run/b.sock", "storage-pool"]);
  });

  test("every option can be set by flag, variable and file key", async () => {
    const values: Record<string, string> = {
      endpoint: "/run/x.sock",
      "driver-name": "a.example",
      "metrics-address": ":1",
      "shutdown-timeout-seconds": "7",
      "cluster-id": "c",
      "nqn-prefix": "nqn.2020-01.org.example",
      "rds-address": "rds.example",
      "rds-port": "2022",
      "rds-user": "u",
      "rds-key-file": keyFile,
      "rds-host-key": pin,
      pool: "p",
      directory: "a/b",
      "nvme-address": "::1",
      "nvme-port": "4421",
      "reserve-bytes": "5",
      fencing: "off",
      "online-expansion": "refuse",
      orchestrator: "none",
      kubeconfig: "/etc/kubeconfig",
      "lease-namespace": "storage",
      "pod-name": "controller-0",
      nodes: "n1,n2",
      "max-volumes-per-node": "9",
      "log-level": "debug",
      "log-format": "json",
    };
    const path = await file(
      "all.yaml",
      Object.entries(values)
        .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
        .join("\n"),
    );
    const byFlag = await controller({
      flags: Object.fromEntries(Object.entries(values).map(([k, v]) => [k, [v]])),
    });
    const byEnv = await controller({
      env: Object.fromEntries(Object.entries(values).map(([k, v]) => [envNameOf(k), v])),
    });
    const byFile = await controller({ flags: { config: [path] } });
    expect(byEnv).toEqual(byFlag);
    expect(byFile).toEqual(byFlag);
    expect(byFlag).toMatchObject({
      nodes: ["n1", "n2"],
      rds: { port: 2022, host: "rds.example" },
      reserveBytes: 5n,
    });
    const untried = Object.values(commandOptions.controller as OptionTable)
      .map(({ name }) => name)
      .filter((name) => !(name in values));
    expect(untried).toEqual(["rds-key-passphrase-file", "rds-host-key-file"]);
  });

  test("a JSON file and lists in YAML work, numbers stay the text they are", async () => {
    const json = await file(
      "c.json",
      JSON.stringify({ nodes: ["n1", "n2"], "nvme-port": 4421, "rds-host-key": [pin, hostKey.public] }),
    );
    const config = await controller({
      flags: { ...flags({ nodes: undefined, "rds-host-key": undefined }), config: [json] },
    });
    expect([config.nodes, config.nvmePort, config.rds.hostKeys.length]).toEqual([["n1", "n2"], 4421, 2]);
    const yaml = await file("c.yaml", "nodes:\n  - 007\n  - 1e3\n");
    const numbers = await controller({ flags: flags({ nodes: undefined, config: [yaml] }) });
    expect(numbers.nodes).toEqual(["007", "1e3"]);
  });

  test("host keys come from flags and file together; known_hosts lines keep their commas", async () => {
    const other = testKey("ed25519");
    const path = await file("known_hosts", `# old\nrds,192.0.2.1 ${publicLine(other.public)}\n`);
    const config = await controller({
      flags: flags({
        "rds-host-key": [`${pin},rds,192.0.2.1 ${publicLine(hostKey.public)}`],
        "rds-host-key-file": [path],
      }),
    });
    const prints = config.rds.hostKeys.map(({ fingerprint }) => fingerprint);
    expect(prints).toEqual([pin, pin, pinOf(other.public).fingerprint]);
  });

  test("an address may carry the port; IPv6 works", async () => {
    const config = await controller({ flags: flags({ "rds-address": ["[fd00::1]:2022"] }) });
    expect([config.rds.host, config.rds.port, config.nvmeAddress]).toEqual(["fd00::1", 2022, "fd00::1"]);
    const clash = await mistakes(
      controller({ flags: flags({ "rds-address": ["192.0.2.1:22"], "rds-port": ["23"] }) }),
    );
    expect(clash).toEqual([
      expect.objectContaining({ where: "--rds-port", problem: "is 23, but rds-address has port 22" }),
    ]);
  });
});

describe("mistakes", () => {
  test("are sentences with one full stop, also where a reader's own text ends one", () => {
    const problem = "cannot be read: no such thing.";
    expect(new ConfigError([{ where: "key a", problem, remedy: "Mend it." }]).message).toBe(
      "key a cannot be read: no such thing. Mend it.",
    );
  });

  test("nothing set: all required options are named at once, each with all ways to set it", async () => {
    const found = await mistakes(controller({}));
    expect(found.map(({ where }) => where)).toEqual([
      "--rds-address",
      "--rds-key-file",
      "--rds-host-key and --rds-host-key-file",
    ]);
    expect(found[0]?.remedy).toMatch(/--rds-address, RDS_CSI_RDS_ADDRESS or the key rds-address/);
  });

  test("many wrong values are reported together, where they were set", async () => {
    const path = await file(
      "wrong.yaml",
      "nvme-port: 70000\nfencing: maybe\nrds_user: x\nnonsense: 1\ndirectory: {a: b}\n",
    );
    const found = await mistakes(
      controller({
        flags: flags({
          config: [path],
          "reserve-bytes": ["much"],
          pool: ["a", "b"],
          nodes: ["ok", "not ok"],
        }),
        env: { RDS_CSI_DRIVER_NAME: "UPPER", RDS_CSI_NQN_PREFIX: "nqn.wrong" },
      }),
    );
    const seen = new Map(found.map(({ where, problem }) => [where, problem]));
    expect(seen.get(`key nvme-port in ${path}`)).toContain("70000");
    expect(seen.get(`key fencing in ${path}`)).toContain("not one of epoch, epoch+hosts, off");
    expect(seen.get(`key nonsense in ${path}`)).toBe("is unknown");
    expect(seen.get(`key directory in ${path}`)).toContain("neither a value nor a list");
    expect(seen.get("--reserve-bytes")).toContain("much");
    expect(seen.get("--pool")).toContain("2 times");
    expect(seen.get("--nodes")).toContain("not ok");
    expect(seen.get("RDS_CSI_DRIVER_NAME")).toContain("UPPER");
    expect(seen.has("RDS_CSI_NQN_PREFIX")).toBe(true);
    expect(found.find(({ where }) => where.includes("rds_user"))?.remedy).toContain("Did you mean rds-user?");
    expect(found.length).toBe(10);
    for (const mistake of found) expect(mistake.remedy.length).toBeGreaterThan(5);
  });

  test("a host name needs nvme-address; an address does not", async () => {
    const found = await mistakes(controller({ flags: flags({ "rds-address": ["rds.example"] }) }));
    expect(found.map(({ where }) => where)).toEqual(["--nvme-address"]);
    expect(
      (await controller({ flags: flags({ "rds-address": ["rds.example"], "nvme-address": ["192.0.2.11"] }) }))
        .nvmeAddress,
    ).toBe("192.0.2.11");
  });

  test("cluster id: default only without an orchestrator, else the cluster's own; what is set holds", async () => {
    const ids = async (over: Partial<Record<string, string[]>>) =>
      (await controller({ flags: flags(over as never) })).clusterId;
    expect(await ids({ orchestrator: ["none"] })).toBe("default");
    expect(await ids({ orchestrator: ["kubernetes"] })).toBeUndefined();
    expect(await ids({ orchestrator: ["kubernetes"], "cluster-id": ["default"] })).toBe("default");
    const node = await loadNodeConfig({
      flags: { "node-id": ["n1"], orchestrator: ["kubernetes"] },
      env: {},
    });
    expect(node.clusterId).toBeUndefined();
    expect((await loadNodeConfig({ flags: { "node-id": ["n1"] }, env: {} })).clusterId).toBe("default");
  });

  test("orchestrator: kubernetes by default, which needs no list of nodes; another name is a mistake", async () => {
    const { nodes: _, orchestrator: __, ...rest } = flags();
    const config = await controller({
      flags: {
        ...rest,
        kubeconfig: ["/etc/kubeconfig"],
        "pod-name": ["ctl-0"],
        "lease-namespace": ["storage"],
      },
    });
    expect(config).toMatchObject({
      orchestrator: "kubernetes",
      nodes: [],
      kubeconfig: "/etc/kubeconfig",
      podName: "ctl-0",
      leaseNamespace: "storage",
    });
    const found = await mistakes(
      controller({ flags: flags({ orchestrator: ["nomad"], kubeconfig: ["relative"] }) }),
    );
    expect(found.map(({ where }) => where)).toEqual(["--orchestrator", "--kubeconfig"]);
  });

  test("secrets outside files are refused and never shown", async () => {
    const secret = testKey("ed25519").private;
    const path = await file(
      "secret.yaml",
      `rds-password: hunter2hunter2\nrds-key: |\n  ${secret.replaceAll("\n", "\n  ")}\n`,
    );
    const cases: Partial<Input>[] = [
      { flags: flags({ "rds-key-file": [secret] }) },
      { flags: flags({ config: [path] }) },
      { flags: flags(), env: { RDS_CSI_RDS_KEY: secret, RDS_CSI_RDS_PASSWORD: "hunter2hunter2" } },
      { flags: flags({ "rds-key-file": undefined }), env: { RDS_CSI_RDS_KEY_FILE: secret } },
      { flags: flags({ "rds-user": [secret] }) },
    ];
    for (const input of cases) {
      const found = await mistakes(controller(input));
      expect(found.length).toBeGreaterThan(0);
      const text = JSON.stringify(found);
      expect(text).toContain("refused");
      expect(text).toContain("rds-key-file");
      expect(text).not.toContain("hunter2");
      expect(text).not.toContain((secret.split("\n")[1] ?? "").slice(0, 30));
    }
  });

  test("unusable key and host key files", async () => {
    const ecdsa = await file("ecdsa", testKey("ecdsa").private);
    const pins = await file("pins", "nonsense\n");
    const found = await mistakes(
      controller({
        flags: flags({ "rds-key-file": [ecdsa], "rds-host-key": undefined, "rds-host-key-file": [pins] }),
      }),
    );
    expect(found.map(({ where }) => where)).toEqual([`--rds-host-key-file (${pins})`, "--rds-key-file"]);
    expect(found[1]?.problem).toContain("ecdsa");
    const missing = await mistakes(controller({ flags: flags({ "rds-key-file": ["/nothing"] }) }));
    expect(missing.map(({ problem }) => /ENOENT/.test(problem))).toEqual([true]);
    const empty = await file("empty", "# nothing\n");
    const unpinned = await mistakes(
      controller({ flags: flags({ "rds-host-key": undefined, "rds-host-key-file": [empty] }) }),
    );
    expect(unpinned.map(({ where }) => where)).toEqual(["--rds-host-key and --rds-host-key-file"]);
  });

  test("a configuration file that cannot be used is one mistake, beside wrong values that were set elsewhere", async () => {
    const broken = await file("broken-once.yaml", "a: [\nb: {\nc: ]\n");
    for (const path of ["/nothing", broken]) {
      const load = (more: Record<string, string[]>) =>
        mistakes(controller({ flags: { config: [path], ...more } }));
      const alone = await load({});
      expect(alone.map(({ where }) => where)).toEqual([path === broken ? `${broken}:2` : "--config"]);
      const beside = await load({ "nvme-port": ["x"], nodes: ["a", "a"] });
      expect(beside.map(({ where }) => where)).toEqual([alone[0]?.where ?? "", "--nvme-port", "--nodes"]);
    }
  });

  test("a key that is nearly an option is asked about, one that is not is to be removed", async () => {
    const path = await file(
      "near.yaml",
      "rds-adress: 192.0.2.1\nRdsUser: x\nfensing: off\nauthorised-keys-file: /k\n",
    );
    const remedies = async (known?: ReadonlySet<string>) =>
      (
        await mistakes(controller({ flags: flags({ config: [path] }), ...(known && { knownNames: known }) }))
      ).map(({ remedy }) => /Did you mean ([^?]+)\?/.exec(remedy)?.[1]);
    expect(await remedies()).toEqual(["rds-address", "rds-user", "fencing", undefined]);
    expect(await remedies(knownNames)).toEqual([
      "rds-address",
      "rds-user",
      "fencing",
      "authorized-keys-file",
    ]);
  });

  test("broken files name line and path", async () => {
    for (const [text, want] of [
      ["a: [", /is not YAML/],
      ["- a\n- b", /does not hold keys/],
      ["pool: a\npool: b", /is not YAML/],
      ["pool: &x a\nnodes: [*x]", /aliases/],
    ] as const) {
      const path = await file("broken.yaml", text);
      const found = await mistakes(controller({ flags: flags({ config: [path] }) }));
      expect(found[0]?.problem).toMatch(want);
      expect(found[0]?.where).toContain(path);
    }
    expect((await controller({ flags: flags({ config: [await file("empty.yaml", "")] }) })).pool).toBe(
      "storage-pool",
    );
  });
});

describe("other commands", () => {
  test("node", async () => {
    const config = await loadNodeConfig({ flags: { "node-id": ["n1"] }, env: {} });
    expect(config).toMatchObject({
      nodeId: "n1",
      dataPath: "nvme-tcp",
      stateDir: "/var/lib/rds-csi",
      maxVolumesPerNode: 0,
      maxConcurrentConnects: 4,
    });
    for (const wrong of ["0", "65", "four"]) {
      const flags = { "node-id": ["n1"], "max-concurrent-connects": [wrong] };
      expect((await mistakes(loadNodeConfig({ flags, env: {} }))).map(({ where }) => where)).toEqual([
        "--max-concurrent-connects",
      ]);
    }
    expect((await mistakes(loadNodeConfig({ flags: {}, env: {} }))).map(({ where }) => where)).toEqual([
      "--node-id",
    ]);
    const loop = await mistakes(
      loadNodeConfig({ flags: { "node-id": ["n1"], "data-path": ["loop"] }, env: {} }),
    );
    expect(loop.map(({ where }) => where)).toEqual(["--loop-exports-dir"]);
  });

  test("a node's storage addresses: any by default, former ones only beside the present one", async () => {
    const node = (flags: Record<string, readonly string[]>) =>
      loadNodeConfig({ flags: { "node-id": ["n1"], ...flags }, env: {} });
    expect(await node({})).toMatchObject({ nvmeAddress: undefined, formerNvmeAddress: [] });
    const both = { "nvme-address": ["192.0.2.1"], "former-nvme-address": ["192.0.2.7,2001:db8::7"] };
    expect(await node(both)).toMatchObject({
      nvmeAddress: "192.0.2.1",
      formerNvmeAddress: ["192.0.2.7", "2001:db8::7"],
    });
    const places = async (flags: Record<string, readonly string[]>) =>
      (await mistakes(node(flags))).map(({ where }) => where);
    expect(await places({ "former-nvme-address": ["192.0.2.7"] })).toEqual(["--former-nvme-address"]);
    expect(await places({ "nvme-address": ["rds.example"] })).toEqual(["--nvme-address"]);
  });

  test("volumes needs the RDS options only", async () => {
    const config = await loadVolumesConfig({ flags: flags({ nodes: undefined }), env: {} });
    expect(config.rds.host).toBe("192.0.2.1");
    expect("rdsAddress" in config).toBe(false);
  });

  test("simulate", async () => {
    const needed = { dir: ["/tmp/x"], "authorized-keys-file": ["/tmp/y"] };
    const config = await loadSimulateConfig({ flags: needed, env: {} });
    expect(config).toMatchObject({
      listen: { host: "127.0.0.1", port: 2222 },
      backend: "files",
      profile: "current",
      latencyMs: 0,
    });
    expect(config.pools).toEqual([{ slot: "storage-pool", fs: "btrfs", size: 1n << 40n }]);
    const more = { ...needed, pool: ["a,b:xfs:2GiB"], switch: ["ready-delay-ms=300", "no-space-text=a, b"] };
    const set = await loadSimulateConfig({ flags: more, env: {} });
    expect(set.pools).toEqual([
      { slot: "a", fs: "btrfs", size: 1n << 40n },
      { slot: "b", fs: "xfs", size: 2n << 30n },
    ]);
    expect(set.switches as unknown).toEqual([{ readyDelayMs: 300 }, { noSpaceText: "a, b" }]);
    const wrong = await mistakes(
      loadSimulateConfig({
        flags: { ...needed, switch: ["nothing=1"], pool: ["a:zfs"], listen: ["x"] },
        env: {},
      }),
    );
    expect(wrong.map(({ where }) => where).sort()).toEqual(["--listen", "--pool", "--switch"]);
  });

  test("one file serves all commands", async () => {
    const path = await file(
      "shared.yaml",
      `node-id: n1\nrds-address: 192.0.2.1\nrds-key-file: ${keyFile}\nrds-host-key: ${pin}\nnodes: [n1]\n`,
    );
    expect((await loadNodeConfig({ flags: { config: [path] }, env: {} })).nodeId).toBe("n1");
    expect((await controller({ flags: { config: [path] } })).rds.host).toBe("192.0.2.1");
  });
});

describe("parsers", () => {
  const accepts = <T>(
    parser: (text: string) => { value: T } | { problem: string },
    text: string,
  ): T | undefined => {
    const parsed = parser(text);
    return "value" in parsed ? parsed.value : undefined;
  };

  test("addresses", () => {
    expect(accepts(parse.hostPort, "rds")).toEqual({ host: "rds", port: undefined });
    expect(accepts(parse.hostPort, "fd00::1")).toEqual({ host: "fd00::1", port: undefined });
    expect(accepts(parse.hostPort, "[fd00::1]")).toEqual({ host: "fd00::1", port: undefined });
    for (const text of [
      "",
      ":22",
      "a:0",
      "a:65536",
      "a:b",
      "a b",
      "[rds]:22",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      "[::1",
      "a/b",
      "-a",
      "a;b",
    ]) {
      expect([text, accepts(parse.hostPort, text)]).toEqual([text, undefined]);
    }
  });

  test("driver names", () => {
    for (const text of ["rds.csi.srvlab.io", "a", "x".repeat(63)])
      expect(accepts(parse.driverName, text)).toBe(text);
    for (const text of ["", "x".repeat(64), "Upper.example", "-a", "a-", "a..b", "a_b", "a.-b"]) {
      expect([text, accepts(parse.driverName, text)]).toEqual([text, undefined]);
    }
  });

  test("sizes", () => {
    expect(
      ["0", "1073741824", "1GiB", "1Gi", "2 MiB", "3tib"].map((text) => accepts(parse.bytes, text)),
    ).toEqual([0n, 1n << 30n, 1n << 30n, 1n << 30n, 2n << 20n, 3n << 40n]);
    for (const text of ["", "-1", "1.5GiB", "1GB", "x", "1 2"])
      expect(accepts(parse.bytes, text)).toBeUndefined();
  });

  test("whatever is accepted as folder, slot or name is safe in paths and commands", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (text) => {
        for (const parser of [parse.folder, parse.nqnPrefix, parse.driverName, parse.nodeId]) {
          const value = accepts<string>(parser, text);
          if (value !== undefined) expect(value).toMatch(/^[A-Za-z0-9._:/-]+$/);
        }
        const path = accepts<string>(parse.folder, text);
        if (path !== undefined)
          expect(path.split("/").some((part) => part === "" || part === "." || part === "..")).toBe(false);
      }),
    );
    for (const text of ["..", "a/../b", "/a", "a/", "a//b", ".hidden/../x"])
      expect(accepts(parse.folder, text)).toBeUndefined();
  });
});

describe("documentation", () => {
  test("docs/configuration.md is what the tables say (scripts/docs writes it)", async () => {
    expect(await readFile(join(import.meta.dir, "../../docs/configuration.md"), "utf8")).toBe(
      configurationDocs(),
    );
  });

  test("names are unique per command, and defaults are right values", () => {
    for (const table of Object.values(commandOptions) as OptionTable[]) {
      const names = Object.values(table).map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const option of Object.values(table)) {
        expect(option.name).toMatch(/^[a-z]+(-[a-z]+)*$/);
        if (!option.required) expect(option.read(undefined)).toHaveProperty("value");
      }
    }
  });
});
