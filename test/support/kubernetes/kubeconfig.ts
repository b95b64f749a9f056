import { registerSecret } from "../canary.ts";
import type { CertifiedKey } from "./x509.ts";

export interface KubeconfigOptions {
  /** Default: a token that the fake API server accepts. */
  readonly token?: string;
  /** A client certificate instead of a token. */
  readonly client?: CertifiedKey;
  /** Default: the CA of the fake API server. */
  readonly ca?: string | undefined;
  /** Default: the address of the fake API server. */
  readonly server?: string;
}

/** The bearer token that a fake API server accepts. */
export const TEST_TOKEN = registerSecret("bearer token of the fake API server", "bearer-canary-Vq7Tz3Ls9Wm2");

/** A kubeconfig in JSON, which is YAML. Without a CA, certificates are not verified (needed for plain HTTP). */
export function kubeconfigText(options: KubeconfigOptions): string {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const { token = TEST_TOKEN, client, ca, server } = options;
  const trust =
    ca === undefined ? { "insecure-skip-tls-verify": true } : { "certificate-authority-data": base64(ca) };
  const user =
    client === undefined
      ? { token }
      : { "client-certificate-data": base64(client.cert), "client-key-data": base64(client.key) };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "fake", cluster: { server, ...trust } }],
    users: [{ name: "driver", user }],
    contexts: [{ name: "fake", context: { cluster: "fake", user: "driver", namespace: "rds-csi" } }],
    "current-context": "fake",
  });
}
