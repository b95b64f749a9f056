import { describe, expect, test } from "bun:test";
import { testKey } from "../../test/support/ssh-server.ts";
import { knownNames } from "../cli/options.ts";
import { configStand, controller, mistakes } from "./config.fixture.ts";
import { ConfigError } from "./config-error.ts";
import { type Input, loadNodeConfig } from "./load.ts";

const { file, flags } = configStand();

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

  test("a private key in place of a name or a path is refused and never shown", async () => {
    const secret = testKey("ed25519").private;
    const quoted = JSON.stringify(secret);
    const asName = await file("key-as-name.yaml", `${quoted}: x\n${JSON.stringify(`x ${secret}`)}: y\n`);
    const asValue = await file("key-as-value.yaml", `pool: ${JSON.stringify(secret.slice(40))}\n`);
    for (const [input, where] of [
      [{ flags: flags({ config: [asName] }) }, `a name in ${asName}`],
      [{ flags: flags({ config: [asValue] }) }, `key pool in ${asValue}`],
      [{ flags: flags({ config: [secret] }) }, "--config"],
      [{ flags: flags(), env: { RDS_CSI_CONFIG: secret } }, "--config"],
    ] as const) {
      const found = await mistakes(controller(input));
      expect(found[0]).toMatchObject({ where, problem: expect.stringContaining("private key") });
      const text = JSON.stringify(found);
      expect(text).not.toContain((secret.split("\n")[1] ?? "").slice(20, 50));
    }
  });

  test("a long unknown name in a file, and a long pin, are shown by their beginning", async () => {
    const path = await file("long.yaml", `${"x".repeat(900)}: y\nrds-host-key: ${"z".repeat(900)}\n`);
    const found = await mistakes(controller({ flags: flags({ config: [path], "rds-host-key": undefined }) }));
    const text = found.map(({ where, problem }) => `${where} ${problem}`).join("\n");
    expect(text).toContain(`key ${"x".repeat(80)}`);
    expect(text).toContain("z".repeat(80));
    expect(text).not.toMatch(/x{100}|z{100}/);
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
