import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DEBIAN, type Target } from "./contents.ts";
import { ImageError } from "./image-error.ts";
import { run } from "./run.ts";

/** Where downloads are kept. */
export const cacheDirectory = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "rds-csi/image");

/** Package lists are fetched anew after so long, milliseconds. */
const LISTS_AGE_MS = 24 * 3_600_000;

const NETWORK = "Check this machine's network, and its apt sources with `apt-get update`.";

/** A .deb file of this machine. */
export interface Download {
  readonly package: string;
  readonly file: string;
  readonly sha256: string;
}

/**
 * apt with a state of its own: neither root nor a change of this machine is needed, and any architecture can be fetched. Its
 * sources and keys are this machine's.
 */
export class Apt {
  readonly #directory: string;
  readonly #config: string;

  private constructor(directory: string, config: string) {
    this.#directory = directory;
    this.#config = config;
  }

  /** @throws ImageError that is `missing` on a machine that cannot do it */
  static async open(target: Target): Promise<Apt> {
    await requireDebian();
    const directory = join(cacheDirectory, `apt-${target.debian}`);
    await mkdir(join(directory, "cache/archives/partial"), { recursive: true });
    await writeFile(join(directory, "status"), "");
    const config = join(directory, "apt.conf");
    await writeFile(
      config,
      `#clear APT::Architectures;
#clear APT::Update;
#clear DPkg::Post-Invoke;
APT::Architecture "${target.debian}";
APT::Architectures { "${target.debian}"; };
APT::Sandbox::User "${userInfo().username}";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Dir::State "${directory}";
Dir::State::status "${directory}/status";
Dir::Cache "${directory}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
`,
    );
    const apt = new Apt(directory, config);
    await apt.#refresh();
    return apt;
  }

  /** Downloads the newest version of each package, as far as it is not here yet; checked against the signed lists. */
  async download(packages: readonly string[]): Promise<readonly Download[]> {
    const asked = await this.#apt(["download", "--print-uris", ...packages]);
    if (asked.code !== 0)
      throw new ImageError(`apt-get download ${packages.join(" ")}: ${asked.stderr.trim()}`);
    const wanted = asked.stdout.split("\n").flatMap((line) => {
      const found = /^'[^']+' (\S+) \d+ SHA256:([0-9a-f]{64})$/.exec(line.trim());
      return found === null ? [] : [{ name: found[1] ?? "", sha256: found[2] ?? "" }];
    });
    const pool = join(cacheDirectory, "debs");
    await mkdir(pool, { recursive: true });
    const lacking: string[] = [];
    for (const { name, sha256 } of wanted) {
      if ((await sha256Of(join(pool, name))) !== sha256) lacking.push(name.split("_", 1)[0] ?? name);
    }
    if (lacking.length > 0) await this.#fetch(lacking, pool);
    const downloads: Download[] = [];
    for (const { name, sha256 } of wanted) {
      const file = join(pool, name);
      if ((await sha256Of(file)) !== sha256)
        throw new ImageError(`${file} is not what Debian's lists say: remove it and try again`);
      downloads.push({ package: name.split("_", 1)[0] ?? name, file, sha256 });
    }
    const absent = packages.filter((name) => !downloads.some((download) => download.package === name));
    if (absent.length > 0) throw new ImageError(`apt offers no ${absent.join(", ")}`);
    return downloads;
  }

  async #fetch(packages: readonly string[], pool: string): Promise<void> {
    const fresh = await mkdtemp(join(pool, "fetch-"));
    try {
      const fetched = await this.#apt(["-qq", "download", ...packages], fresh);
      if (fetched.code !== 0) {
        throw new ImageError(`Debian packages cannot be downloaded: ${fetched.stderr.trim()}. ${NETWORK}`, {
          missing: true,
        });
      }
      const listed = await run("ls", [fresh]);
      for (const name of listed.stdout.split("\n").filter((line) => line.endsWith(".deb"))) {
        await rename(join(fresh, name), join(pool, name));
      }
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  }

  /** Two runs at once do not disturb each other: the lists are fetched aside. Old ones serve when there is no network. */
  async #refresh(): Promise<void> {
    const lists = join(this.#directory, "lists");
    const age = await stat(lists).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => undefined,
    );
    if (age !== undefined && age < LISTS_AGE_MS) return;
    const fresh = await mkdtemp(join(this.#directory, "lists-"));
    await mkdir(join(fresh, "partial"));
    const updated = await this.#apt([
      "-qq",
      "-o",
      `Dir::State::lists=${fresh}`,
      "-o",
      "APT::Update::Error-Mode=any",
      "update",
    ]);
    if (updated.code === 0) {
      await rm(lists, { recursive: true, force: true });
      await rename(fresh, lists).catch(() => undefined);
      return;
    }
    await rm(fresh, { recursive: true, force: true });
    const why = updated.stderr.trim().split("\n").slice(-3).join(" / ").replace(/\.$/, "");
    if (age === undefined) {
      throw new ImageError(`Debian's package lists cannot be fetched: ${why}. ${NETWORK}`, { missing: true });
    }
    console.error(
      `image: package lists are ${Math.round(age / 3_600_000)} hours old, as they cannot be fetched: ${why}`,
    );
  }

  async #apt(args: readonly string[], cwd?: string) {
    const options = ["-o", `Dir::State::lists=${join(this.#directory, "lists")}`];
    return await run("apt-get", [...options, ...args], {
      env: { APT_CONFIG: this.#config },
      ...(cwd === undefined ? {} : { cwd }),
    });
  }
}

async function sha256Of(path: string): Promise<string | undefined> {
  return await readFile(path).then(
    (bytes) => createHash("sha256").update(bytes).digest("hex"),
    () => undefined,
  );
}

async function requireDebian(): Promise<void> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const codename = /^VERSION_CODENAME=(\S+)$/m.exec(text)?.[1];
  const debian = /^ID=debian$/m.test(text);
  const programs = await Promise.all([run("apt-get", ["--version"]), run("dpkg-deb", ["--version"])]);
  if (debian && codename === DEBIAN.codename && programs.every(({ code }) => code === 0)) return;
  const found = debian ? `Debian ${codename ?? "of unknown release"}` : "another system";
  throw new ImageError(
    `this needs apt-get and dpkg-deb on Debian ${DEBIAN.version} (${DEBIAN.codename}), and this is ${found}: ` +
      "build the Containerfile, which brings them, or run this in such a container",
    { missing: true },
  );
}
