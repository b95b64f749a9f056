import { describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { configurationDocs } from "../../scripts/lib/docs/configuration-page.ts";
import { pinOf, publicLine, testKey } from "../../test/support/ssh-server.ts";
import { commandOptions } from "../cli/options.ts";
import { loadSimulateConfig } from "../cli/simulate.ts";
import { readHostKeys } from "../routeros/transport/host-keys.ts";
import { configStand, controller, mistakes } from "./config.fixture.ts";
import { loadNodeConfig, loadVolumesConfig } from "./load.ts";
import { envNameOf, type OptionTable } from "./option.ts";

const stand = configStand();
const { file, flags, hostKey, pin } = stand;

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
      healthDialect: "csi-1.12",
      nqnPrefix: "nqn.2000-02.com.mikrotik",
      pool: "storage-pool",
      directory: "csi",
      nvmeAddress: "192.0.2.1",
      nvmePort: 4420,
      reserveBytes: 1_073_741_824n,
      fencing: "epoch",
      onlineExpansion: "announce",
      deviceProfile: undefined,
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
        keyFile: stand.keyFile,
        passphraseFile: undefined,
        hostKeys: [{ fingerprint: pin, type: undefined }],
        hostKeyFile: undefined,
        channels: 8,
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
      "rds-key-file": stand.keyFile,
      "rds-host-key": pin,
      "rds-channels": "2",
      pool: "p",
      directory: "a/b",
      "nvme-address": "::1",
      "nvme-port": "4421",
      "reserve-bytes": "5",
      fencing: "off",
      "online-expansion": "refuse",
      "device-profile": "/etc/rds-csi/box.yaml",
      orchestrator: "none",
      kubeconfig: "/etc/kubeconfig",
      "lease-namespace": "storage",
      "pod-name": "controller-0",
      nodes: "n1,n2",
      "max-volumes-per-node": "9",
      "health-dialect": "both",
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
    expect(config.rds.hostKeys).toHaveLength(2);
    const prints = (await readHostKeys(config.rds)).map(({ fingerprint }) => fingerprint);
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

describe("other commands", () => {
  test("node", async () => {
    const config = await loadNodeConfig({ flags: { "node-id": ["n1"] }, env: {} });
    expect(config).toMatchObject({
      nodeId: "n1",
      dataPath: "nvme-tcp",
      stateDir: "/var/lib/rds-csi",
      maxVolumesPerNode: 0,
      healthDialect: "csi-1.12",
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
      `node-id: n1\nrds-address: 192.0.2.1\nrds-key-file: ${stand.keyFile}\nrds-host-key: ${pin}\nnodes: [n1]\n`,
    );
    expect((await loadNodeConfig({ flags: { config: [path] }, env: {} })).nodeId).toBe("n1");
    expect((await controller({ flags: { config: [path] } })).rds.host).toBe("192.0.2.1");
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
