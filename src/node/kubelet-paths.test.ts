import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { kubeletPathOf } from "./kubelet-paths.ts";

const DRIVER = "rds.csi.example";
const HANDLE = "csi-0123456789abcdef0123456789ab";
const HASH = createHash("sha256").update(HANDLE).digest("hex");
let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "rds-csi-kubelet-"));
});
afterAll(() => rmSync(root, { recursive: true }));

function record(path: string, content: unknown = { driverName: DRIVER, volumeHandle: HANDLE }): void {
  const file = join(root, path, "vol_data.json");
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
}
const ask = (path: string) => kubeletPathOf(join(root, path), DRIVER);

test("a staging path: by driver, hash and record together", async () => {
  const base = `plugins/kubernetes.io/csi/${DRIVER}/${HASH}`;
  expect(await ask(`${base}/globalmount`)).toBeUndefined();
  record(base);
  expect(await ask(`${base}/globalmount`)).toEqual({ role: "staging", handle: HANDLE });
  expect(await ask(`${base}/globalmount/deeper`)).toBeUndefined();
  expect(await ask(base)).toBeUndefined();
  // The record of another volume, or of another driver, in our directory; our record in that of another.
  record(base, { driverName: DRIVER, volumeHandle: `${HANDLE}x` });
  expect(await ask(`${base}/globalmount`)).toBeUndefined();
  record(base, { driverName: `${DRIVER}.other`, volumeHandle: HANDLE });
  expect(await ask(`${base}/globalmount`)).toBeUndefined();
  record(`plugins/kubernetes.io/csi/other.driver/${HASH}`);
  expect(await ask(`plugins/kubernetes.io/csi/other.driver/${HASH}/globalmount`)).toBeUndefined();
});

test("published filesystems and block devices", async () => {
  record("pods/0-1/volumes/kubernetes.io~csi/pv-1");
  expect(await ask("pods/0-1/volumes/kubernetes.io~csi/pv-1/mount")).toEqual({
    role: "publish",
    handle: HANDLE,
    pod: "0-1",
    persistentVolume: "pv-1",
  });
  expect(await ask("pods/0-1/volumes/kubernetes.io~nfs/pv-1/mount")).toBeUndefined();
  const devices = "plugins/kubernetes.io/csi/volumeDevices";
  record(`${devices}/pv-2/data`);
  const block = { handle: HANDLE, persistentVolume: "pv-2" };
  expect(await ask(`${devices}/publish/pv-2/0-1`)).toEqual({ role: "publish", pod: "0-1", ...block });
  expect(await ask(`${devices}/staging/pv-2`)).toEqual({ role: "staging", ...block });
  expect(await ask(`${devices}/publish/pv-3/0-1`)).toBeUndefined();
});

test.each([
  "",
  "{",
  "null",
  "[]",
  '"text"',
  "7",
  '{"driverName":1}',
  '{"driverName":"rds.csi.example"}',
  " ".repeat(20_000),
])("a record that is cut off or something else proves nothing: %j", async (text) => {
  record("pods/0-2/volumes/kubernetes.io~csi/pv-1", text);
  expect(await ask("pods/0-2/volumes/kubernetes.io~csi/pv-1/mount")).toBeUndefined();
});

test("a handle or a driver of the wrong type proves nothing", async () => {
  for (const volumeHandle of ["", 1, null, {}, [HANDLE]]) {
    record("pods/0-3/volumes/kubernetes.io~csi/pv-1", { driverName: DRIVER, volumeHandle });
    expect(await ask("pods/0-3/volumes/kubernetes.io~csi/pv-1/mount")).toBeUndefined();
  }
});
