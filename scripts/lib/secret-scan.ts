import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";

/**
 * Looks for secrets and for traces of a machine in every file that git tracks or would track. Prints each finding as
 * path:line and fails if there is one.
 */
const RULES: readonly (readonly [string, RegExp])[] = [
  ["private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----\s*(\\n)?[A-Za-z0-9+/]{20}/],
  ["private key", /b3BlbnNzaC1rZXktdjEA[A-Za-z0-9+/]{20}/],
  [
    "cloud or forge token",
    /\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20}|npm_[A-Za-z0-9]{36})\b/,
  ],
  ["JSON web token", /\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{10,}/],
  ["password in a URL", /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"'`<>${}]+:[^\s/@"'`<>${}]+@/],
  ["private address", /\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b/],
  ["path of a machine", /(?:^|[\s"'`=(:])\/(?:work|root|home\/[a-z]+)\//],
  ["registry host", /https?:\/\/[^\s/"'`]*(?:registry|npmjs|npmmirror|proxy\.golang|pypi)[^\s/"'`]*/],
];

/** Base64 of a key makes whole lines; these files are texts of others. */
const EXEMPT = new Set(["LICENSE"]);

const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
  encoding: "utf8",
});
let findings = 0;
let files = 0;
for (const path of listed.split("\0")) {
  if (path === "" || EXEMPT.has(path)) continue;
  const text = readFileSync(path, "utf8");
  if (text.includes("\0")) continue;
  files += 1;
  for (const [name, rule] of RULES) {
    const lines = text.split("\n");
    lines.forEach((line, index) => {
      // A key's header and its first line of base64 are looked at together.
      if (rule.test(`${line}\n${lines[index + 1] ?? ""}`) && (rule.test(line) || name === "private key")) {
        findings += 1;
        console.error(`${path}:${index + 1}: ${name}`);
      }
    });
  }
}
console.log(`secret scan: ${files} files, ${findings} findings`);
process.exitCode = findings === 0 && files > 0 ? 0 : 1;
