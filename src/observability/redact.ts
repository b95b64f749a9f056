/** The text in the place of a secret. */
export const REDACTED = "***";

const SECRET_NAME =
  /(pass(word|wd|phrase)|secret|token|credential|authorization|cookie|private[-_.]?key|^key$|api[-_.]?key)/i;

const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g;

/** Whether a field of this name may hold a credential: a known word anywhere in it, in any case. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** `text` without private keys in PEM form; a key that was cut off is removed to the end of the text. */
export function redactText(text: string): string {
  return text.includes("PRIVATE KEY-----") ? text.replace(PRIVATE_KEY, REDACTED) : text;
}
