import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { packageOf } from "./locked-package.fixture.ts";

const root = join(import.meta.dir, "../..");
const VERSION = "9.9.9";

/** Says its version, and notes whatever else it is asked to do. */
const runtime = (say: string) => `#!/bin/sh
[ "$1" = --version ] && { echo ${VERSION}; exit; }
echo "${say} $*" >> ran.txt
`;

let base = "";
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "rds-csi-setup-"));
});
afterAll(() => rm(base, { recursive: true }));

/** A checkout whose lock file names `locked`, and a registry that hands out `served` instead. */
async function checkout(name: string, { locked, served }: { locked: Buffer; served: Buffer }) {
  const directory = join(base, name);
  await mkdir(join(directory, "scripts/lib"), { recursive: true });
  await mkdir(join(directory, "bin"));
  await copyFile(join(root, "scripts/lib/setup.sh"), join(directory, "scripts/lib/setup.sh"));
  await writeFile(join(directory, "package.json"), `{ "devDependencies": {\n "bun": "${VERSION}"\n} }\n`);
  const integrity = createHash("sha512").update(locked).digest("base64");
  const lines = ["linux-x64", "linux-aarch64", "linux-x64-musl", "linux-aarch64-musl", "darwin-aarch64"].map(
    (each) => `    "@oven/bun-${each}": ["@oven/bun-${each}@${VERSION}", "", {}, "sha512-${integrity}"],`,
  );
  await writeFile(join(directory, "bun.lock"), `${lines.join("\n")}\n`);
  await writeFile(join(directory, "served.tgz"), served);
  const npm = `#!/bin/sh
echo "npm $*" >> ran.txt
[ "$1" = pack ] || exit 1
while [ $# -gt 0 ]; do [ "$1" = --pack-destination ] && { cp served.tgz "$2/p.tgz"; echo p.tgz; }; shift; done
`;
  for (const [program, text] of [
    ["npm", npm],
    ["npx", '#!/bin/sh\necho "npx $*" >> ran.txt; exit 1\n'],
    // The installed packages: the runtime in its package, and what is in bun's place until its script has run.
    ["node", `#!/bin/sh\nexec "${process.execPath}" "$@"\n`],
  ] as const) {
    await writeFile(join(directory, "bin", program), text);
    await chmod(join(directory, "bin", program), 0o755);
  }
  const run = async (script: string) => {
    const child = Bun.spawn(["/bin/sh", "-c", `. scripts/lib/setup.sh; ${script}`], {
      cwd: directory,
      env: { PATH: `${directory}/bin:/usr/bin:/bin` },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const ran = await readFile(join(directory, "ran.txt"), "utf8").catch(() => "");
    return { code: await child.exited, stdout, stderr, ran: ran.split("\n").filter((line) => line !== "") };
  };
  return { directory, run };
}

describe("the runtime that installs the packages", () => {
  test("is the one that bun.lock names, and no install script runs to get it", async () => {
    const good = packageOf("bin/bun", runtime("good"));
    const { run } = await checkout("good", { locked: good, served: good });
    const { code, stderr, ran } = await run("bootstrap_bun install --frozen-lockfile");
    expect([code, stderr]).toEqual([0, ""]);
    expect(ran).toHaveLength(2);
    expect(ran[0]).toMatch(/^npm pack --silent --ignore-scripts .*@oven\/bun-[a-z0-9-]+@9\.9\.9$/);
    expect(ran[1]).toBe("good install --frozen-lockfile");
  });

  test("another file than the one that bun.lock names is neither run nor kept", async () => {
    const locked = packageOf("bin/bun", runtime("good"));
    const { run, directory } = await checkout("bad", {
      locked,
      served: packageOf("bin/bun", runtime("evil")),
    });
    const { code, stderr, ran } = await run("bootstrap_bun install --frozen-lockfile");
    expect(code).not.toBe(0);
    expect(stderr).toContain("p.tgz is not the file that bun.lock names");
    expect(ran.filter((line) => !line.startsWith("npm pack"))).toEqual([]);
    const left = Bun.spawnSync(["find", ".cache", "-type", "f"], { cwd: directory }).stdout.toString();
    expect(left).toBe("");
  });

  test("bun's place is filled from its installed package, and bun's own install script does not run", async () => {
    const any = packageOf("bin/bun", runtime("good"));
    const { run, directory } = await checkout("place", { locked: any, served: any });
    const bin = join(directory, "node_modules/bun/bin");
    const packaged = join(directory, "node_modules/@oven/bun-linux-x64/bin");
    for (const each of [bin, packaged]) await mkdir(each, { recursive: true });
    await writeFile(
      join(directory, "node_modules/bun/install.js"),
      `require("fs").writeFileSync("ran.txt", "x")`,
    );
    for (const stub of ["bun.exe", "bunx.exe"])
      await writeFile(join(bin, stub), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    await writeFile(join(packaged, "bun"), runtime("packaged"), { mode: 0o755 });
    const { code, ran } = await run("place_bun");
    expect([code, ran]).toEqual([0, []]);
    expect(await readFile(join(bin, "bun.exe"), "utf8")).toBe(runtime("packaged"));
  });
});

const noNamespace = Bun.spawnSync([
  ...["unshare", "--pid", "--fork", "--mount-proc"],
  ...["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm"],
]).success
  ? ""
  : "(skipped: no namespace with a /dev/shm of its own can be made here)";

test.skipIf(noNamespace !== "")(
  `a command in a quiet namespace has /dev/shm and pids of its own, and its status is passed on ${noNamespace}`.trim(),
  async () => {
    const script = `. scripts/lib/setup.sh; in_quiet_namespace sh -c 'echo $$; touch /dev/shm/$0; ls /dev/shm; exit 3' "$1"`;
    const name = `rds-csi-setup-test-${process.pid}`;
    const outside = join("/dev/shm", name);
    try {
      const child = Bun.spawnSync(["/bin/sh", "-c", script, "sh", name], { cwd: root });
      expect([child.stdout.toString(), child.exitCode]).toEqual([`1\n${name}\n`, 3]);
      expect(await Bun.file(outside).exists()).toBe(false);
    } finally {
      await rm(outside, { force: true });
    }
  },
);

test("no package may run a script at installation, and every package of the lock file has a checksum", async () => {
  const { trustedDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  expect(trustedDependencies).toEqual([]);
  const lock = await readFile(join(root, "bun.lock"), "utf8");
  const packages = lock
    .slice(lock.indexOf('"packages": {'))
    .split("\n")
    .filter((line) => /^ {4}"[^"]+": \[/.test(line));
  expect(packages.length).toBeGreaterThan(50);
  expect(packages.filter((line) => !/"sha512-[A-Za-z0-9+/]{86}=="\],?$/.test(line))).toEqual([]);
});
