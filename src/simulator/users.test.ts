import { beforeEach, describe, expect, test } from "bun:test";
import ssh2 from "ssh2";
import { addLine, type TestConsole, testConsole } from "../../test/support/simulator-console.ts";
import { newEd25519Key } from "../domain/openssh-key.ts";
import { POLICIES, type Policy } from "./device/policies.ts";

const KEY = newEd25519Key().public;
const MISSING = "not enough permissions (9)";

let box: TestConsole;
beforeEach(async () => {
  box = await testConsole();
  box.device.management.accounts.give([{ name: "admin", publicKeys: [KEY] }]);
});

/** Runs a line as somebody with all policies but those given; its last line, or the error. */
async function run(line: string, without: readonly Policy[] = []): Promise<string> {
  const policies = POLICIES.filter((policy) => !without.includes(policy));
  const { output, error } = await box.line(line, { policies });
  return error ?? output.join("\n");
}

describe("/user/group", () => {
  test("add revokes what it does not name, set changes what it names", async () => {
    expect(await run("/user/group/add name=csi policy=ssh,read,!write")).toBe("");
    const granted = async () =>
      (await run(":put [/user/group/get csi policy]")).split(";").filter((word) => !word.startsWith("!"));
    expect(await granted()).toEqual(["ssh", "read"]);
    await run("/user/group/set csi policy=test,!ssh");
    expect(await granted()).toEqual(["read", "test"]);
    expect((await run(":put [/user/group/get csi policy]")).split(";")).toHaveLength(POLICIES.length);
  });

  test("what is refused", async () => {
    await run("/user/group/add name=csi policy=ssh");
    await run('/user/add name=somebody group=csi password="x"');
    expect(await run("/user/group/add name=csi")).toContain("already exists");
    expect(await run("/user/group/add name=x policy=fly")).toBe("input does not match any value of policy");
    expect(await run('/user/group/add name="a b"')).toBe("failure: bad name");
    expect(await run("/user/group/remove full")).toContain("default group");
    expect(await run("/user/group/remove csi")).toContain("in use");
    expect(await run("/user/group/remove nobody")).toBe("no such item");
    expect(box.device.management.accounts.groups.map(({ name }) => name)).toEqual([
      "read",
      "write",
      "full",
      "csi",
    ]);
    await run("/user/remove somebody; /user/group/remove csi");
    expect(box.device.management.accounts.group("csi")).toBeUndefined();
  });
});

describe("/user", () => {
  test("add, set, print without the password, remove with the keys", async () => {
    await run('/user/add name=csi group=read address=192.0.2.0/24,2001:db8::1 password="secret" comment="c"');
    await run(`/user/ssh-keys/add user=csi key="${KEY}"`);
    const json = await run(":put [:serialize to=json value=[/user/print detail as-value where name=csi]]");
    expect(JSON.parse(json)).toMatchObject([
      { name: "csi", group: "read", comment: "c", address: ["192.0.2.0/24", "2001:db8::1"] },
    ]);
    expect(json).not.toContain("secret");
    await run("/user/set csi address=198.51.100.7 disabled=yes group=write");
    expect(box.device.management.accounts.user("csi")).toMatchObject({
      addresses: ["198.51.100.7"],
      disabled: true,
      group: "write",
      password: "secret",
    });
    await run("/user/remove [find where name=csi]");
    expect(box.device.management.accounts.user("csi")).toBeUndefined();
    expect(box.device.management.accounts.keysOf("csi")).toEqual([]);
  });

  test("what is refused", async () => {
    const add = (more: string) => run(`/user/add ${more}`);
    expect(await add("name=x group=read")).toBe("missing value(s) of argument(s) password");
    expect(await add('name=x password=""')).toBe("missing value(s) of argument(s) group");
    expect(await add('name=x group=none password=""')).toBe("input does not match any value of group");
    expect(await add('name=admin group=read password=""')).toContain("already exists");
    expect(await add('name=-x group=read password=""')).toBe("failure: bad name");
    for (const address of ["nowhere", "192.0.2.0/33", "192.0.2.256", "2001:db8::/129", "192.0.2.0/24/1"]) {
      expect(await add(`name=x group=read password="" address=${address}`)).toBe(
        "invalid value for argument address",
      );
    }
    expect(box.device.management.accounts.users.map(({ name }) => name)).toEqual(["admin"]);
  });

  test("the last user with full rights stays", async () => {
    for (const line of ["/user/remove admin", "/user/set admin group=read", "/user/set admin disabled=yes"]) {
      expect(await run(line)).toContain("last user with full access");
    }
    await run('/user/add name=other group=full password="x"');
    expect(await run("/user/remove admin")).toBe("");
  });
});

describe("/user/ssh-keys", () => {
  test("shows type, bits, fingerprint and comment, never the key; the same key twice is two items", async () => {
    const rsa = ssh2.utils.generateKeyPairSync("rsa", { bits: 2048 });
    await run(`/user/ssh-keys/add user=admin key="${KEY} my laptop"`);
    await run(`/user/ssh-keys/add user=admin key="${rsa.public}"`);
    const shown = await run(":put [:serialize to=json value=[/user/ssh-keys/print detail as-value]]");
    expect(JSON.parse(shown)).toMatchObject([
      { user: "admin", "key-type": "ed25519", bits: 256, info: "" },
      { user: "admin", "key-type": "ed25519", bits: 256, info: "my laptop" },
      { user: "admin", "key-type": "rsa", bits: 2048 },
    ]);
    expect(shown).toContain("SHA256:");
    expect(shown).not.toContain("AAAA");
    await run('/user/ssh-keys/remove [find where info="my laptop"]');
    expect(box.device.management.accounts.keys).toHaveLength(2);
  });

  test("refuses what is no public Ed25519 or RSA key", async () => {
    const small = ssh2.utils.generateKeyPairSync("rsa", { bits: 1024 }).public;
    const ecdsa = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 }).public;
    const add = (key: string) => run(`/user/ssh-keys/add user=admin key="${key}"`);
    for (const key of ["", "nonsense", ecdsa, KEY.slice(0, -8)]) {
      expect(await add(key)).toBe("unable to load key file (wrong format or bad passphrase)!");
    }
    expect(await add(small)).toBe("keys smaller than 2048bit are not allowed");
    expect(await run(`/user/ssh-keys/add user=none key="${KEY}"`)).toContain("any value of user");
    expect(box.device.management.accounts.keys).toHaveLength(1);
  });

  test("the fingerprint came with 7.20", async () => {
    box.switches.version = "7.19 (stable)";
    expect(await run(":put [/user/ssh-keys/print detail as-value]")).not.toContain("SHA256:");
  });
});

describe("policies", () => {
  test.each([
    ['/user/add name=x group=full password="x"', ["policy", "write"]],
    ["/user/set admin comment=x", ["policy", "write"]],
    ["/user/group/add name=x", ["policy", "write"]],
    ["/user/group/set full comment=x", ["policy", "write"]],
    [`/user/ssh-keys/add user=admin key="${KEY}"`, ["policy", "write"]],
    ["/user/ssh-keys/remove [find]", ["policy", "write", "read"]],
    ["/user/print", ["read"]],
    [":put [/user/ssh-keys/print as-value]", ["read"]],
    [":put [/system/resource/get version]", ["read", "test"]],
    ["/ip/service/set ssh address=192.0.2.0/24", ["write"]],
    ["/log/info x", ["write"]],
    [addLine("a"), ["write"]],
  ] as const)("%s needs %j", async (line, needed) => {
    for (const policy of POLICIES) {
      const answer = await run(line, [policy]);
      const refused = answer === MISSING;
      expect([policy, refused]).toEqual([policy, (needed as readonly string[]).includes(policy)]);
      box = await testConsole();
      box.device.management.accounts.give([{ name: "admin", publicKeys: [KEY] }]);
    }
  });

  test("/system/reboot needs reboot, and then says who does it", async () => {
    expect(await run("/system/reboot", ["reboot"])).toBe(MISSING);
    expect(await run("/system/reboot")).toContain("not simulated");
  });

  test("/system/resource needs test on top of read, or not, by switch", async () => {
    box.switches.resourcePolicy = "read";
    expect(await run(":put [/system/resource/get version]", ["test"])).toBe("7.24.5 (stable)");
  });

  test("secrets are shown with sensitive only", async () => {
    await run(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-password="hidden"'));
    const read = [
      ":put [/disk/get a nvme-tcp-server-password]",
      "/disk/print detail",
      ":put [:serialize to=json value=[/disk/print detail as-value]]",
      ":put [/disk/print as-value where nvme-tcp-server-password=hidden]",
    ];
    for (const line of read) {
      expect(await run(line)).toContain("hidden");
      expect(await run(line, ["sensitive"])).not.toContain("hidden");
    }
  });
});

describe("/import", () => {
  const script = (name: string, ...lines: string[]) =>
    box.device.management.flash.write(name, Buffer.from(lines.join("\n")));

  test("runs a file of many lines, comments and blocks", async () => {
    script(
      "a.rsc",
      "# a comment",
      '{\r\n:local greeting "hello"',
      "# another",
      ':if ($greeting = "hello") do={',
      '  :put ("<" . $greeting . ">")',
      "} else={",
      '  :put "no"',
      "}",
      "}",
      "/log/info \\",
      '  message="done"',
    );
    expect(await run("/import file-name=a.rsc")).toBe(
      "<hello>\n\nScript file loaded and executed successfully",
    );
    expect(box.device.management.journal.messages).toEqual(["done"]);
    expect(await run('/import "/a.rsc"')).toContain("successfully");
  });

  test("a failure names its line; what stood before it stays", async () => {
    script("a.rsc", "/log/info one", "", "/disk/remove none", "/log/info two");
    expect(await run("/import a.rsc")).toBe(
      "Script Error: no such item (/disk/remove; line 3) (:import; line 1)",
    );
    expect(box.device.management.journal.messages).toEqual(["one"]);
    script("b.rsc", ":put 1", '{ :if (true) do={\n:error "stop" } }');
    expect(await run("/import b.rsc")).toContain("Script Error: stop (:error; line 3) (:import; line 1)");
  });

  test("a file that does not parse runs not at all; a missing one is named; policies count inside", async () => {
    script("broken.rsc", "/log/info none", ":put (1");
    expect(await run("/import broken.rsc")).toStartWith("Script Error: syntax error (line 2 column ");
    expect(box.device.management.journal.messages).toEqual([]);
    script("a.rsc", "/log/info one", "/nonsense");
    expect(await run("/import a.rsc")).toStartWith(
      "Script Error: bad command name nonsense (line 2 column 2)",
    );
    expect(box.device.management.journal.messages).toEqual(["one"]);
    expect(await run("/import b.rsc")).toBe("Cannot open import file, file does not exist (:import; line 1)");
    script("c.rsc", "/user/group/add name=x");
    expect(await run("/import c.rsc", ["policy"])).toContain(`Script Error: ${MISSING}`);
    expect(box.device.management.accounts.group("x")).toBeUndefined();
  });

  test("an uploaded file is listed and can be removed", async () => {
    script("a.rsc", ":put 1");
    expect(await run(":put [/file/get a.rsc size]")).toBe("6");
    await run("/file/remove a.rsc");
    expect(await run(":put [:len [/file/find where name=a.rsc]]")).toBe("0");
  });
});

describe("language", () => {
  test(":rndstr gives as many characters as asked for, from the alphabet", async () => {
    const one = await run(':put [:rndstr length=40 from="ab"]');
    expect(one).toMatch(/^[ab]{40}$/);
    expect(one).not.toBe(await run(':put [:rndstr length=40 from="ab"]'));
    expect(await run(":put [:rndstr length=8]")).toMatch(/^[0-9A-Za-z]{8}$/);
    expect(await run(":put [:rndstr length=x]")).toContain("invalid value for argument length");
  });

  test.each([
    ["toip", "192.0.2.1", "ip"],
    ["toip", "192.0.2.256", "nothing"],
    ["toip", "2001:db8::1", "nothing"],
    ["toip6", "2001:db8::1", "ip6"],
    ["toip6", "::ffff:192.0.2.1", "ip6"],
    ["toip6", "fe80::1%ether1", "nothing"],
    ["toip6", "192.0.2.1", "nothing"],
  ])(":%s %s is %s", async (command, text, type) => {
    expect(await run(`:put [:typeof [:${command} "${text}"]]`)).toBe(type);
  });
});
