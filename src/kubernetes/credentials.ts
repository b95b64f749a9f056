import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { isIPv6 } from "node:net";
import process from "node:process";
import type { KubeConfig } from "@kubernetes/client-node";
import type { Clock } from "../domain/clock.ts";
import { DriverError, failure } from "../domain/errors/driver-error.ts";

/** Where the address and the credentials of the API server come from. */
export type KubeConfigSource =
  /** The service account of this pod; `root` is put before the paths of its files (for tests). */
  | { readonly kind: "in-cluster"; readonly root?: string }
  /** A kubeconfig file; its current context unless one is named. */
  | { readonly kind: "kubeconfig"; readonly path: string; readonly context?: string };

/** Options of a TLS client. */
export type TlsMaterial = Pick<RequestOptions, "ca" | "cert" | "key" | "servername" | "rejectUnauthorized">;

export interface Credentials {
  readonly server: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsMaterial;
}

/** Directory of the service account's files in each pod. Source: Kubernetes, "Accessing the Kubernetes API from a Pod". */
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Ports on which the client libraries of Kubernetes speak HTTP without TLS. */
const PLAIN_PORTS = ["80", "8080", "8001"];

/** How long credentials are used before their files are read again; kubelet rotates tokens long before they end. */
const MAX_AGE_MS = 60_000;

/**
 * The credentials as the files have them now. All of them are read again each minute, and at once when the API server
 * did not accept them: token, client certificate and CA rotate.
 */
export class CredentialSource {
  readonly #source: KubeConfigSource;
  readonly #clock: Clock;
  #loaded: { readonly at: number; readonly credentials: Promise<Credentials> } | undefined;

  constructor(source: KubeConfigSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** @throws kubernetesConfigUnusable */
  current(): Promise<Credentials> {
    const now = this.#clock.monotonic();
    if (this.#loaded === undefined || now - this.#loaded.at >= MAX_AGE_MS) {
      const credentials = this.#load();
      const loaded = { at: now, credentials };
      this.#loaded = loaded;
      credentials.catch(() => {
        if (this.#loaded === loaded) this.#loaded = undefined;
      });
    }
    return this.#loaded.credentials;
  }

  /** After `rejected` were not accepted: reads again; undefined if the files still hold the same. */
  async renewed(rejected: Credentials): Promise<Credentials | undefined> {
    const known = await this.current();
    if (!equal(known, rejected)) return known;
    this.#loaded = undefined;
    const fresh = await this.current();
    return equal(fresh, rejected) ? undefined : fresh;
  }

  /** Namespace of the service account or of the kubeconfig's context. @throws kubernetesConfigUnusable */
  async namespace(): Promise<string | undefined> {
    try {
      if (this.#source.kind === "in-cluster") return await namespaceOfPod(this.#source.root);
      const { kc } = await readKubeConfig(this.#source);
      return kc.getContextObject(kc.getCurrentContext())?.namespace;
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  async #load(): Promise<Credentials> {
    try {
      if (this.#source.kind === "in-cluster") return await ofServiceAccount(this.#source.root);
      const { kc, server } = await readKubeConfig(this.#source);
      const options: RequestOptions = {};
      await kc.applyToHTTPSOptions(options);
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value).trim();
      if (typeof options.auth === "string")
        headers.Authorization = `Basic ${Buffer.from(options.auth).toString("base64")}`;
      const { ca, cert, key, servername } = options;
      const tls = { ca, cert, key, servername, rejectUnauthorized: options.rejectUnauthorized !== false };
      return { server, headers, tls };
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  /** Without a cause: the message of a parser's error quotes the file, and causes are logged. */
  #unusable(error: unknown): DriverError {
    if (error instanceof DriverError) return error;
    const source = this.#source.kind === "in-cluster" ? "the service account" : this.#source.path;
    return failure("kubernetesConfigUnusable", { source, reason: reasonOf(error, source) });
  }
}

/** The service account of this pod. @param root is put before the paths of its files */
async function ofServiceAccount(root = ""): Promise<Credentials> {
  const setting = (name: string): string => {
    const value = process.env[name];
    if (!value) throw new Unusable(`the environment variable ${name} is not set`);
    return value;
  };
  const [host, port] = [setting("KUBERNETES_SERVICE_HOST"), setting("KUBERNETES_SERVICE_PORT")];
  const server = urlOf(
    `${PLAIN_PORTS.includes(port) ? "http" : "https"}://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    "inCluster",
  );
  const ca = await readFile(`${root}${SERVICE_ACCOUNT}/ca.crt`);
  const token = (await readFile(`${root}${SERVICE_ACCOUNT}/token`, "utf8")).trim();
  const headers: Record<string, string> = token === "" ? {} : { Authorization: `Bearer ${token}` };
  return { server, headers, tls: { ca, rejectUnauthorized: true } };
}

/** The namespace of this pod, as its service account has it; undefined without the file. */
async function namespaceOfPod(root = ""): Promise<string | undefined> {
  return await readFile(`${root}${SERVICE_ACCOUNT}/namespace`, "utf8").catch((error: unknown) => {
    if ((error as FileError).code === "ENOENT") return undefined;
    throw error;
  });
}

/** Reads a kubeconfig with the client library, which is loaded for this alone: it is large. */
async function readKubeConfig(
  source: Extract<KubeConfigSource, { kind: "kubeconfig" }>,
): Promise<{ kc: KubeConfig; server: URL }> {
  const library = await import("@kubernetes/client-node/dist/config.js");
  const kc = new library.KubeConfig();
  kc.loadFromFile(source.path);
  if (source.context !== undefined) kc.setCurrentContext(source.context);
  const cluster = kc.getCurrentCluster();
  const context = kc.getCurrentContext();
  if (cluster === null)
    throw new Unusable(
      context
        ? `its context ${JSON.stringify(context)} names no cluster`
        : "it names no cluster: no current-context",
    );
  if (cluster.proxyUrl) throw new Unusable("proxy-url is not supported");
  return { kc, server: urlOf(cluster.server, cluster.name) };
}

function urlOf(text: string, cluster: string): URL {
  const server = URL.canParse(text) ? new URL(text) : undefined;
  if (server?.protocol !== "https:" && server?.protocol !== "http:")
    throw new Unusable(`the server of cluster ${JSON.stringify(cluster)} is not an http or https URL`);
  return server;
}

/** A reason in words of this file. */
class Unusable extends Error {}

/** An error of a system call, or of js-yaml. */
type FileError = Error & {
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly path?: unknown;
  readonly reason?: unknown;
  readonly mark?: { readonly line?: unknown };
};

/** A path as people name files of certificates, keys and tokens; a key that stands in place of a path does not look so. */
const NAMED_FILE = /^[\w./ -]{1,200}\.(?:crt|cer|pem|key|token|json|ya?ml|conf|config)$/;

/** Why credentials cannot be used, without content of their files: a parser's message quotes the line that it cannot read. */
function reasonOf(thrown: unknown, source: string): string {
  if (thrown instanceof Unusable) return thrown.message;
  const { code, syscall, path, reason, mark, message } = thrown as FileError;
  if (typeof reason === "string" && typeof mark?.line === "number")
    return `line ${mark.line + 1}: ${withoutQuotes(reason)}`;
  if (typeof reason === "string") return `it is not YAML: ${withoutQuotes(reason)}`;
  if (typeof syscall === "string") {
    const file =
      path === source || (typeof path === "string" && NAMED_FILE.test(path)) ? path : "a file that it names";
    return `${syscall} of ${file} failed (${String(code)})`;
  }
  if (thrown instanceof SyntaxError) return "the answer of its exec plugin is not JSON";
  if (thrown instanceof TypeError || typeof message !== "string")
    return "it does not have the form of a kubeconfig";
  return withoutQuotes(message) || "its exec plugin failed without a message";
}

/** The first line up to a quoted text, a YAML tag or a colon. */
function withoutQuotes(text: string): string {
  const [line = ""] = text.trim().split("\n");
  return line.replace(/(?:["'`]|!<|: ).*/, "…").trim();
}

function equal(a: Credentials, b: Credentials): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Tells connection pools apart: sockets are only shared among requests with the same TLS options. */
export function poolKey(credentials: Credentials): string {
  return JSON.stringify([credentials.server.origin, credentials.tls]);
}
