import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A sysfs tree in a temporary directory, built from the recording of a real one (recorded/sysfs-live.txt). */
export class FakeSysfs {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), "rds-csi-sysfs-")));
  readonly controller = join(this.root, "devices/virtual/nvme-fabrics/ctl/nvme0");
  readonly subsystem = join(this.root, "devices/virtual/nvme-subsystem/nvme-subsys0");

  constructor(nqn: string, hostNqn: string) {
    const text = readFileSync(new URL("../../src/nvme/recorded/sysfs-live.txt", import.meta.url), "utf8");
    let indented = "";
    for (const line of text.split("\n")) {
      const entry = /^([DLF]) (?:\S{10} )?(\/sys\/\S+)(?: -> (\S+)| = (.*))?$/.exec(line);
      const attribute = /^ {2}(\S+) = (.*)$/.exec(line);
      if (attribute !== null && indented !== "")
        this.#write(join(indented, attribute[1] ?? ""), attribute[2] ?? "");
      if (entry === null) continue;
      const [, type, path = "", link, value = ""] = entry;
      const here = join(this.root, path.slice("/sys".length));
      indented = "";
      if (type === "D") mkdirSync(here, { recursive: true });
      else if (type === "F") this.#write(here, value.replaceAll("|", "\n"));
      else {
        mkdirSync(dirname(here), { recursive: true });
        symlinkSync(link ?? "", here);
        if (path.startsWith("/sys/block/")) indented = here;
      }
    }
    mkdirSync(join(this.root, "module/nvme_tcp"), { recursive: true });
    mkdirSync(join(this.root, "dev/block"), { recursive: true });
    symlinkSync(join(this.subsystem, "nvme0n1"), join(this.root, "dev/block/259:1"));
    this.rename(nqn, hostNqn);
    // The recording was made over the loopback address with short timeouts.
    this.address = "traddr=192.0.2.9,trsvcid=4420,src_addr=192.0.2.7";
    this.set("ctrl_loss_tmo", "off");
  }

  /** Changes an attribute of a controller. */
  set(attribute: string, value: string, controller = "nvme0"): void {
    this.#write(join(dirname(this.controller), controller, attribute), value);
  }

  get(attribute: string, controller = "nvme0"): string {
    return readFileSync(join(dirname(this.controller), controller, attribute), "utf8").trimEnd();
  }

  /** Takes an attribute from a controller. */
  remove(attribute: string, controller = "nvme0"): void {
    rmSync(join(dirname(this.controller), controller, attribute));
  }

  set address(address: string) {
    this.set("address", address);
  }

  /** One more controller of the same subsystem: a second path (multipath). It has the attributes of the first. */
  addController(name: string, attributes: Readonly<Record<string, string>>): void {
    const directory = join(dirname(this.controller), name);
    mkdirSync(directory);
    for (const entry of readdirSync(this.controller, { withFileTypes: true })) {
      if (entry.isFile()) this.set(entry.name, this.get(entry.name), name);
    }
    for (const [attribute, value] of Object.entries(attributes)) this.set(attribute, value, name);
    symlinkSync(`../../devices/virtual/nvme-fabrics/ctl/${name}`, join(this.root, "class/nvme", name));
    symlinkSync(`../../nvme-fabrics/ctl/${name}`, join(this.subsystem, name));
  }

  /** The device of one controller without multipath. */
  addPathDevice(controller: string, name: string): void {
    this.#writeDevice(join(dirname(this.controller), controller, name));
  }

  /** A controller that never got as far as its subsystem: nothing below nvme-subsystem names it or its NQN. */
  withoutSubsystem(): void {
    rmSync(this.subsystem, { recursive: true });
    rmSync(join(this.root, "class/nvme-subsystem/nvme-subsys0"));
  }

  removeController(name: string): void {
    rmSync(join(this.root, "class/nvme", name));
    rmSync(join(this.subsystem, name), { force: true });
    rmSync(join(dirname(this.controller), name), { recursive: true });
  }

  rename(nqn: string, hostNqn: string): void {
    this.#write(join(this.controller, "subsysnqn"), nqn);
    this.#write(join(this.subsystem, "subsysnqn"), nqn);
    this.#write(join(this.controller, "hostnqn"), hostNqn);
  }

  set state(state: string) {
    this.#write(join(this.controller, "state"), state);
  }

  set sectors(sectors: number) {
    this.#write(join(this.subsystem, "nvme0n1/size"), String(sectors));
  }

  /** The controller and its device vanish; a mount keeps the subsystem directory (recorded/fault2.txt). */
  lose(): void {
    rmSync(join(this.root, "class/nvme/nvme0"));
    rmSync(this.controller, { recursive: true });
    rmSync(join(this.subsystem, "nvme0"), { force: true });
    rmSync(join(this.subsystem, "nvme0n1"), { recursive: true, force: true });
  }

  loseDevice(): void {
    rmSync(join(this.subsystem, "nvme0n1"), { recursive: true });
  }

  /** After a reconnect beside a stale mount: other names, same subsystem (recorded/fault2.txt). */
  rebornAsN2(): void {
    renameSync(join(this.subsystem, "nvme0n1"), join(this.subsystem, "nvme0n2"));
    renameSync(this.controller, join(dirname(this.controller), "nvme1"));
    rmSync(join(this.root, "class/nvme/nvme0"));
    symlinkSync("../../devices/virtual/nvme-fabrics/ctl/nvme1", join(this.root, "class/nvme/nvme1"));
  }

  /** nvme_core.multipath=N: the namespace is below its controller (recorded in lab/recorded/no-multipath.txt). */
  withoutMultipath(): void {
    rmSync(join(this.controller, "nvme0c0n1"), { recursive: true });
    renameSync(join(this.subsystem, "nvme0n1"), join(this.controller, "nvme0n1"));
    rmSync(join(this.root, "dev/block/259:1"));
    symlinkSync(join(this.controller, "nvme0n1"), join(this.root, "dev/block/259:1"));
  }

  /** A second namespace or, without multipath, a second path. */
  addDevice(name: string): void {
    this.#writeDevice(join(this.subsystem, name));
  }

  cleanUp(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #writeDevice(directory: string): void {
    for (const [attribute, value] of [
      ["dev", "259:9"],
      ["size", "614400"],
      ["ro", "0"],
    ] as const) {
      this.#write(join(directory, attribute), value);
    }
  }

  #write(path: string, value: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${value}\n`);
  }
}
