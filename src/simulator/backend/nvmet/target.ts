import { isIP } from "node:net";
import type { Logger } from "../../../observability/log.ts";
import { SimulatorError } from "../../errors.ts";
import { type Configfs, refusedWith, unless } from "./configfs.ts";
import type { Identity } from "./identity.ts";
import type { MarkBook } from "./marks.ts";

/** A subsystem with one namespace on one TCP port. */
export interface TargetExport {
  readonly nqn: string;
  readonly identity: Identity;
  /** Absolute path of the image; undefined for a subsystem without a namespace. */
  readonly file: string | undefined;
  /** TCP port number. */
  readonly port: number;
  /** Host NQNs that may connect; undefined means any. */
  readonly hosts: readonly string[] | undefined;
}

export interface TargetOptions {
  readonly configfs: Configfs;
  /** Directory of the NVMe target in configfs. */
  readonly root: string;
  /** IP address to listen on. */
  readonly address: string;
  readonly book: MarkBook;
  readonly logger: Logger;
}

/** The kernel's NVMe target, as far as it is ours. Calls must not overlap; each throws ConfigfsError. */
export interface Target {
  /** Makes an export; nothing is left of it when that fails. @throws SimulatorError when another program owns the NQN */
  create(wanted: TargetExport): Promise<void>;
  /** Sets who may connect; who is connected stays so. */
  allow(nqn: string, hosts: TargetExport["hosts"]): Promise<void>;
  /** Ends the connections of all hosts; those that may connect come back by themselves. */
  drop(nqn: string): Promise<void>;
  /** Makes hosts see the size that the file has now. */
  revalidate(nqn: string): Promise<void>;
  /** Removes an export with everything that only it needed; one that is not there or not ours is no error. */
  destroy(nqn: string): Promise<void>;
  /** Removes everything in the list of marks, also the objects of an earlier process. */
  destroyAll(): Promise<void>;
}

/** Highest port identifier: 16 bits, and 0xffff is no port (drivers/nvme/target). */
const MAX_PORT_ID = 0xfffe;

/** Drives the NVMe target through configfs (facts, section 5 "Target"; drivers/nvme/target/configfs.c). */
export function nvmetTarget({ configfs, root, address, book, logger }: TargetOptions): Target {
  const subsystem = (nqn: string) => `${root}/subsystems/${nqn}`;
  const portLinks = (id: string) => `${root}/ports/${id}/subsystems`;
  const has = async (folder: string, name: string) => (await configfs.list(folder)).includes(name);

  /** Whether a subsystem that exists is the one that the marks speak of. */
  async function isOurs(nqn: string): Promise<boolean> {
    const serial = book.marks.subsystems.get(nqn);
    if (serial === undefined) return false;
    const found = (await configfs.read(`${subsystem(nqn)}/attr_serial`)).trim();
    if (found === serial) return true;
    // A process that died between mkdir and the serial number leaves this; no host can be using it.
    const bare = (await configfs.list(`${subsystem(nqn)}/namespaces`)).length === 0;
    return bare && (await portsOf(nqn)).length === 0;
  }

  async function portsOf(nqn: string): Promise<string[]> {
    const found: string[] = [];
    for (const id of await configfs.list(`${root}/ports`)) if (await has(portLinks(id), nqn)) found.push(id);
    return found;
  }

  async function makeHosts(names: readonly string[]): Promise<void> {
    const present = new Set(await configfs.list(`${root}/hosts`));
    const missing = names.filter((name) => !present.has(name));
    if (missing.length === 0) return;
    await book.change((marks) => missing.forEach((name) => void marks.hosts.add(name)));
    for (const name of missing) {
      try {
        await configfs.make(`${root}/hosts/${name}`);
      } catch (error) {
        await unmarkHosts([name]);
        if (!refusedWith(error, "EEXIST")) throw error;
      }
    }
  }

  const unmarkHosts = (names: readonly string[]): Promise<void> =>
    book.change((marks) => names.forEach((name) => void marks.hosts.delete(name)));

  /** Removes the directories of hosts that we made and that no subsystem lists any more. */
  async function releaseHosts(names: readonly string[]): Promise<void> {
    const gone: string[] = [];
    for (const name of names.filter((one) => book.marks.hosts.has(one))) {
      try {
        await unless(["ENOENT"], configfs.remove(`${root}/hosts/${name}`));
        gone.push(name);
      } catch (error) {
        // Another subsystem lists it: the one that leaves last removes it.
        if (!refusedWith(error, "EBUSY", "ENOTEMPTY")) throw error;
      }
    }
    if (gone.length > 0) await unmarkHosts(gone);
  }

  async function allow(nqn: string, hosts: TargetExport["hosts"]): Promise<void> {
    const folder = `${subsystem(nqn)}/allowed_hosts`;
    const before = await configfs.list(folder);
    const wanted = new Set(hosts ?? []);
    const added = [...wanted].filter((name) => !before.includes(name));
    const removed = before.filter((name) => !wanted.has(name));
    // The kernel takes no list while any host may connect, and no "any" while there is a list.
    if (hosts !== undefined) await configfs.write(`${subsystem(nqn)}/attr_allow_any_host`, "0");
    await makeHosts(added);
    for (const name of added) {
      const link = () => unless(["EEXIST"], configfs.link(`${root}/hosts/${name}`, `${folder}/${name}`));
      await link().catch(async (error: unknown) => {
        // Another simulator on this machine has just removed its own directory of the host.
        if (!refusedWith(error, "ENOENT")) throw error;
        await makeHosts([name]);
        await link();
      });
    }
    for (const name of removed) await unless(["ENOENT"], configfs.unlink(`${folder}/${name}`));
    if (hosts === undefined) await configfs.write(`${subsystem(nqn)}/attr_allow_any_host`, "1");
    await releaseHosts(removed);
  }

  /** The identifier of our port with this TCP port number; makes it when there is none. */
  async function openPort(port: number): Promise<string> {
    const taken = new Set(await configfs.list(`${root}/ports`));
    for (const [id, number] of [...book.marks.ports]) {
      if (number === port && taken.has(id)) return id;
    }
    for (let id = port === 0 ? MAX_PORT_ID : port, left = MAX_PORT_ID; left > 0; left -= 1) {
      const name = String(id);
      if (!taken.has(name)) {
        await book.change((marks) => void marks.ports.set(name, port));
        try {
          await configfs.make(`${root}/ports/${name}`);
          await configfs.write(`${root}/ports/${name}/addr_trtype`, "tcp");
          await configfs.write(`${root}/ports/${name}/addr_adrfam`, isIP(address) === 6 ? "ipv6" : "ipv4");
          await configfs.write(`${root}/ports/${name}/addr_traddr`, address);
          await configfs.write(`${root}/ports/${name}/addr_trsvcid`, String(port));
          return name;
        } catch (error) {
          if (!refusedWith(error, "EEXIST")) throw error;
          await unmarkPort(name);
        }
      }
      id = id === MAX_PORT_ID ? 1 : id + 1;
    }
    throw new SimulatorError("the kernel's NVMe target has no free port identifier");
  }

  const unmarkPort = (id: string): Promise<void> => book.change((marks) => void marks.ports.delete(id));

  /** Removes those of our ports that expose nothing any more. */
  async function closePorts(): Promise<void> {
    const present = new Set(await configfs.list(`${root}/ports`));
    for (const [id, port] of [...book.marks.ports]) {
      if (present.has(id)) {
        if ((await configfs.list(portLinks(id))).length > 0) continue;
        const number = await configfs.read(`${root}/ports/${id}/addr_trsvcid`);
        // Half made ports have no number yet; another number means that another program took the identifier.
        if (number === "" || number === String(port)) await configfs.remove(`${root}/ports/${id}`);
        else
          logger.warn("a port of the NVMe target is not as this simulator made it; it stays", { id, number });
      }
      await unmarkPort(id);
    }
  }

  async function addNamespace(nqn: string, file: string, { uuid, nguid }: Identity): Promise<void> {
    const namespace = `${subsystem(nqn)}/namespaces/1`;
    await configfs.make(namespace);
    await configfs.write(`${namespace}/device_path`, file);
    await configfs.write(`${namespace}/device_uuid`, uuid);
    await configfs.write(`${namespace}/device_nguid`, nguid);
    // Buffered, a read that the page cache holds in part fails with an internal error, on file systems that can read without waiting, such
    // as XFS and Btrfs. Source: drivers/nvme/target/io-cmd-file.c, nvmet_file_execute_rw (IOCB_NOWAIT); measured on 6.1.176. All of
    // these can do direct I/O; one that cannot (tmpfs, hostfs) refuses to be opened for it.
    try {
      await configfs.write(`${namespace}/enable`, "1");
    } catch (error) {
      if (!refusedWith(error, "EINVAL")) throw error;
      await configfs.write(`${namespace}/buffered_io`, "1");
      await configfs.write(`${namespace}/enable`, "1");
    }
  }

  /** Takes a subsystem of ours apart, from the outside in. */
  async function dismantle(nqn: string): Promise<void> {
    for (const id of await portsOf(nqn)) await configfs.unlink(`${portLinks(id)}/${nqn}`);
    for (const id of await configfs.list(`${subsystem(nqn)}/namespaces`)) {
      await configfs.write(`${subsystem(nqn)}/namespaces/${id}/enable`, "0");
      await configfs.remove(`${subsystem(nqn)}/namespaces/${id}`);
    }
    const hosts = await configfs.list(`${subsystem(nqn)}/allowed_hosts`);
    for (const name of hosts) await configfs.unlink(`${subsystem(nqn)}/allowed_hosts/${name}`);
    await configfs.remove(subsystem(nqn));
  }

  async function destroy(nqn: string): Promise<void> {
    if (book.marks.subsystems.has(nqn)) {
      if (await has(`${root}/subsystems`, nqn)) {
        if (await isOurs(nqn)) await dismantle(nqn);
        else logger.warn("a subsystem is not as this simulator made it; it stays", { nqn });
      }
      await book.change((marks) => void marks.subsystems.delete(nqn));
    }
    // Not only its own hosts: an attempt that failed may have left one that no subsystem lists.
    await releaseHosts([...book.marks.hosts]);
    await closePorts();
  }

  return {
    create: async ({ nqn, identity, file, port, hosts }) => {
      const foreign = () =>
        new SimulatorError(
          `the kernel's NVMe target has a subsystem ${nqn} that this simulator did not make; remove it or choose another NQN`,
        );
      if (await has(`${root}/subsystems`, nqn)) throw foreign();
      await book.change((marks) => void marks.subsystems.set(nqn, identity.serial));
      try {
        await configfs.make(subsystem(nqn));
      } catch (error) {
        await book.change((marks) => void marks.subsystems.delete(nqn));
        throw refusedWith(error, "EEXIST") ? foreign() : error;
      }
      try {
        await configfs.write(`${subsystem(nqn)}/attr_serial`, identity.serial);
        await allow(nqn, hosts);
        if (file !== undefined) await addNamespace(nqn, file, identity);
        await configfs.link(subsystem(nqn), `${portLinks(await openPort(port))}/${nqn}`);
      } catch (error) {
        await destroy(nqn).catch((second: unknown) =>
          logger.error("a half made export could not be removed", { nqn, reason: String(second) }),
        );
        throw error;
      }
    },
    allow,
    drop: async (nqn) => {
      // The kernel ends no connection when a host leaves the list, and all of them when the port loses the subsystem.
      // It is back within milliseconds, before the first host tries again.
      for (const id of await portsOf(nqn)) {
        await configfs.unlink(`${portLinks(id)}/${nqn}`);
        await configfs.link(subsystem(nqn), `${portLinks(id)}/${nqn}`).catch(async (error: unknown) => {
          // Another program took the TCP port in between. An export out of reach is none.
          await destroy(nqn);
          throw error;
        });
      }
    },
    revalidate: (nqn) => configfs.write(`${subsystem(nqn)}/namespaces/1/revalidate_size`, "1"),
    destroy,
    destroyAll: async () => {
      for (const nqn of [...book.marks.subsystems.keys()]) await destroy(nqn);
      await releaseHosts([...book.marks.hosts]);
      await closePorts();
    },
  };
}
