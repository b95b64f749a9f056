import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { API_SERVICE, CONTROL } from "./addresses.ts";
import { run } from "./run.ts";

/** Makes the certificates and keys of a control plane in a directory. Needs the program openssl. */
export async function makeCertificates(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const at = (name: string) => join(directory, name);
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const ca = ["req", "-x509", ...curve, "-days", "30", "-subj", "/CN=cluster"];
  await run("openssl", [...ca, "-keyout", at("ca.key"), "-out", at("ca.crt")]);
  const signed = async (name: string, subject: string, extension: string) => {
    const [key, request, file] = [at(`${name}.key`), at(`${name}.csr`), at(`${name}.ext`)];
    await run("openssl", ["req", ...curve, "-subj", subject, "-keyout", key, "-out", request]);
    await writeFile(file, `${extension}\n`);
    const by = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "30"];
    await run("openssl", [
      ...["x509", "-req", "-in", request, ...by],
      ...["-out", at(`${name}.crt`), "-extfile", file],
    ]);
  };
  const names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
  const addresses = ["127.0.0.1", CONTROL, API_SERVICE];
  const alternative = [...addresses.map((each) => `IP:${each}`), ...names.map((each) => `DNS:${each}`)];
  await signed("api", "/CN=kube-apiserver", `subjectAltName=${alternative.join(",")}`);
  await signed("kubelet-client", "/O=system:masters/CN=kube-apiserver", "extendedKeyUsage=clientAuth");
  await run("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at("accounts.key")]);
  await run("openssl", ["ec", "-in", at("accounts.key"), "-pubout", "-out", at("accounts.pub")]);
}

/** Users that the API server knows by a token, as `--token-auth-file` wants them. */
export class Tokens {
  readonly #lines: string[] = [];

  add(name: string, group = ""): string {
    const token = randomBytes(16).toString("hex");
    this.#lines.push(`${token},${name},${name},"${group}"`);
    return token;
  }

  write(file: string): Promise<void> {
    return writeFile(file, `${this.#lines.join("\n")}\n`, { mode: 0o600 });
  }
}

/** Text of a kubeconfig. @param certificate path of the authority's certificate, as its reader sees it */
export function kubeconfig(server: string, certificate: string, token: string): string {
  return `${JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "cluster", cluster: { server, "certificate-authority": certificate } }],
    users: [{ name: "user", user: { token } }],
    contexts: [{ name: "cluster", context: { cluster: "cluster", user: "user" } }],
    "current-context": "cluster",
  })}\n`;
}
