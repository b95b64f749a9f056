import { statSync } from "node:fs";
import { type Configfs, ConfigfsError } from "./configfs.ts";

/** An attribute: a value, and the deed of the kernel when it is written. */
interface Attribute {
  value: string;
  readonly store?: (text: string) => void;
}

interface Directory {
  readonly path: string;
  /** Made by the kernel together with its parent, not by mkdir. */
  readonly fixed: boolean;
  readonly folders: Map<string, Directory>;
  readonly links: Map<string, Directory>;
  readonly attributes: Map<string, Attribute>;
  /** Links that point here. */
  linked: number;
}

class Refusal extends Error {}
const refuse = (code: string): never => {
  throw new Refusal(code);
};

/** A connection of a host. */
export interface Controller {
  readonly nqn: string;
  readonly host: string;
  readonly port: number;
}

export interface FakeNvmet {
  readonly root: string;
  readonly configfs: Configfs;
  /** Connections that are up. */
  readonly controllers: readonly Controller[];
  /** All steps so far, "action path" each. */
  readonly steps: string[];
  /** `nvme connect`. @returns whether the target lets the host in */
  connect(nqn: string, host: string, port?: number): boolean;
  /** The answer of Identify for a namespace; like Linux since 5.8, it reads the size of the file again. */
  identify(nqn: string): { size: bigint; uuid: string; serial: string };
  /** Paths of all that is not there from the start. */
  tree(): string[];
  /** Makes the next step whose "action path" fits fail with this errno name. */
  failNext(step: RegExp, code: string): void;
  /** TCP ports, "address:port", on which another program listens. */
  readonly listeners: Set<string>;
}

/**
 * The NVMe target of Linux 6.1 as configfs shows it, in memory: the objects, the values that each attribute accepts and when,
 * and the order in which things come and go (drivers/nvme/target/configfs.c; the refusals were measured on 6.1.176).
 */
export function fakeNvmet(addresses: readonly string[] = ["0.0.0.0", "::", "127.0.0.1"]): FakeNvmet {
  const root = "/fake/nvmet";
  const controllers: Controller[] = [];
  const steps: string[] = [];
  const listeners = new Set<string>();
  const faults: { step: RegExp; code: string }[] = [];
  const sizes = new Map<Directory, bigint>();

  const directory = (path: string, fixed: boolean): Directory => ({
    path,
    fixed,
    folders: new Map(),
    links: new Map(),
    attributes: new Map(),
    linked: 0,
  });
  const child = (parent: Directory, name: string, fixed: boolean): Directory => {
    const made = directory(`${parent.path}/${name}`, fixed);
    parent.folders.set(name, made);
    return made;
  };
  const top = directory(root, true);
  for (const name of ["hosts", "ports", "subsystems"]) child(top, name, true);

  function find(path: string): Directory {
    if (path === root) return top;
    if (!path.startsWith(`${root}/`)) return refuse("ENOENT");
    let at = top;
    for (const part of path.slice(root.length + 1).split("/")) at = at.folders.get(part) ?? refuse("ENOENT");
    return at;
  }
  const split = (path: string): [Directory, string] => {
    const slash = path.lastIndexOf("/");
    return [find(path.slice(0, slash)), path.slice(slash + 1)];
  };
  const attribute = (path: string): Attribute => {
    const [parent, name] = split(path);
    return parent.attributes.get(name) ?? refuse("ENOENT");
  };
  const value = (at: Directory, name: string) => at.attributes.get(name)?.value ?? "";

  function makeSubsystem(at: Directory): void {
    if (at.path.endsWith("/nqn.2014-08.org.nvmexpress.discovery")) refuse("EINVAL");
    const hosts = child(at, "allowed_hosts", true);
    child(at, "namespaces", true);
    at.attributes.set("attr_serial", {
      value: "00112233445566778899",
      store: (text) => (text.length < 1 || text.length > 20 ? refuse("EINVAL") : undefined),
    });
    at.attributes.set("attr_allow_any_host", {
      value: "0",
      store: (text) => (text === "1" && hosts.links.size > 0 ? refuse("EINVAL") : undefined),
    });
  }

  function makeNamespace(at: Directory): void {
    const enabled = () => value(at, "enable") === "1";
    const idle = (code: string) => () => (enabled() ? refuse(code) : undefined);
    const read = () => {
      try {
        sizes.set(at, statSync(value(at, "device_path"), { bigint: true }).size);
      } catch {
        refuse("ENOENT");
      }
    };
    at.attributes.set("device_path", { value: "(null)", store: idle("EBUSY") });
    at.attributes.set("device_uuid", { value: "random", store: idle("EBUSY") });
    at.attributes.set("device_nguid", { value: "0", store: idle("EBUSY") });
    at.attributes.set("buffered_io", { value: "0", store: idle("EINVAL") });
    at.attributes.set("enable", {
      value: "0",
      store: (text) => (text === "1" && !enabled() ? read() : undefined),
    });
    at.attributes.set("revalidate_size", { value: "", store: () => (enabled() ? read() : refuse("EINVAL")) });
  }

  function makePort(at: Directory, name: string): void {
    if (!/^\d+$/.test(name) || Number(name) > 65_535) refuse("EINVAL");
    const exposed = child(at, "subsystems", true);
    const store = () => (exposed.links.size > 0 ? refuse("EACCES") : undefined);
    for (const one of ["addr_trtype", "addr_adrfam", "addr_traddr", "addr_trsvcid"]) {
      at.attributes.set(one, { value: "", store });
    }
  }

  /** The first subsystem makes the port listen. */
  function listen(port: Directory): void {
    if (value(port, "addr_trtype") !== "tcp") refuse("EINVAL");
    const [address, number] = [value(port, "addr_traddr"), value(port, "addr_trsvcid")];
    if (value(port, "addr_adrfam") !== (address.includes(":") ? "ipv6" : "ipv4")) refuse("EINVAL");
    if (!addresses.includes(address)) refuse("EADDRNOTAVAIL");
    if (number === "0") return;
    for (const other of find(`${root}/ports`).folders.values()) {
      const listening = (other.folders.get("subsystems")?.links.size ?? 0) > 0;
      const same = value(other, "addr_traddr") === address && value(other, "addr_trsvcid") === number;
      if (other !== port && listening && same) refuse("EADDRINUSE");
    }
    if (listeners.has(`${address}:${number}`)) refuse("EADDRINUSE");
  }

  function link(target: string, path: string): void {
    const to = find(target);
    const [parent, name] = split(path);
    if (parent.links.has(name)) refuse("EEXIST");
    if (parent.path.startsWith(`${root}/ports/`)) {
      if (!target.startsWith(`${root}/subsystems/`)) refuse("EINVAL");
      if (parent.links.size === 0) listen(find(parent.path.replace(/\/subsystems$/, "")));
    } else {
      const any = value(find(parent.path.replace(/\/allowed_hosts$/, "")), "attr_allow_any_host");
      if (!target.startsWith(`${root}/hosts/`) || any === "1") refuse("EINVAL");
    }
    parent.links.set(name, to);
    to.linked += 1;
  }

  function unlink(path: string): void {
    const [parent, name] = split(path);
    const to = parent.links.get(name) ?? refuse("ENOENT");
    parent.links.delete(name);
    to.linked -= 1;
    const port = Number(value(find(parent.path.replace(/\/[^/]+$/, "")), "addr_trsvcid"));
    if (!path.startsWith(`${root}/ports/`)) return;
    for (const one of controllers.filter((each) => each.nqn === name && each.port === port)) {
      controllers.splice(controllers.indexOf(one), 1);
    }
  }

  function make(path: string): void {
    const [parent, name] = split(path);
    if (parent.folders.has(name)) refuse("EEXIST");
    if (!/\/(?:hosts|ports|subsystems|namespaces)$/.test(parent.path) || !parent.fixed) refuse("EPERM");
    const made = child(parent, name, false);
    try {
      if (parent.path === `${root}/subsystems`) makeSubsystem(made);
      else if (parent.path === `${root}/ports`) makePort(made, name);
      else if (parent.path.endsWith("/namespaces")) makeNamespace(made);
    } catch (error) {
      parent.folders.delete(name);
      throw error;
    }
  }

  function remove(path: string): void {
    const [parent, name] = split(path);
    const at = parent.folders.get(name) ?? refuse("ENOENT");
    if (at.fixed) refuse("EPERM");
    if (at.linked > 0) refuse("EBUSY");
    for (const one of at.folders.values())
      if (one.folders.size > 0 || one.links.size > 0) refuse("ENOTEMPTY");
    parent.folders.delete(name);
  }

  function attempt<T>(action: keyof Configfs, path: string, work: () => T): Promise<T> {
    const step = `${action} ${path.slice(root.length + 1)}`;
    steps.push(step);
    const fault = faults.findIndex((one) => one.step.test(step));
    try {
      if (fault >= 0) refuse(faults.splice(fault, 1)[0]?.code ?? "EIO");
      return Promise.resolve(work());
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return Promise.reject(new ConfigfsError(action, path, error.message));
    }
  }

  return {
    root,
    controllers,
    steps,
    listeners,
    configfs: {
      list: (path) => attempt("list", path, () => [...find(path).folders.keys(), ...find(path).links.keys()]),
      read: (path) => attempt("read", path, () => attribute(path).value),
      write: (path, text) =>
        attempt("write", path, () => {
          attribute(path).store?.(text);
          attribute(path).value = text;
        }),
      make: (path) => attempt("make", path, () => make(path)),
      remove: (path) => attempt("remove", path, () => remove(path)),
      link: (target, path) => attempt("link", path, () => link(target, path)),
      unlink: (path) => attempt("unlink", path, () => unlink(path)),
    },
    connect: (nqn, host, port = 4420) => {
      const exposed = [...find(`${root}/ports`).folders.values()].some(
        (one) =>
          value(one, "addr_trsvcid") === String(port) &&
          one.folders.get("subsystems")?.links.has(nqn) === true,
      );
      if (!exposed) return false;
      const at = find(`${root}/subsystems/${nqn}`);
      const listed = at.folders.get("allowed_hosts")?.links.has(host) === true;
      if (value(at, "attr_allow_any_host") !== "1" && !listed) return false;
      controllers.push({ nqn, host, port });
      return true;
    },
    identify: (nqn) => {
      const namespace = find(`${root}/subsystems/${nqn}/namespaces/1`);
      namespace.attributes.get("revalidate_size")?.store?.("1");
      const serial = value(find(`${root}/subsystems/${nqn}`), "attr_serial");
      return { size: sizes.get(namespace) ?? 0n, uuid: value(namespace, "device_uuid"), serial };
    },
    tree: () => {
      const found: string[] = [];
      const walk = (at: Directory): void => {
        if (!at.fixed) found.push(at.path.slice(root.length + 1));
        for (const name of at.links.keys()) found.push(`${at.path.slice(root.length + 1)}/${name}`);
        for (const one of at.folders.values()) walk(one);
      };
      walk(top);
      return found.sort();
    },
    failNext: (step, code) => void faults.push({ step, code }),
  };
}
