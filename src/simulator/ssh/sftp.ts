import { Buffer } from "node:buffer";
import ssh2, { type SFTPWrapper } from "ssh2";
import type { Device } from "../device/device.ts";
import { FLASH_BYTES } from "../device/flash.ts";

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;
/** Type and rights of a regular file, as clients want to see them. */
const FILE_MODE = 0o100644;
const ROOT_MODE = 0o040755;

/** The needs of a transfer. */
export interface SftpOptions {
  readonly device: Device;
  /** Makes the new state durable. */
  saved(): Promise<void>;
}

interface Upload {
  readonly name: string;
  readonly chunks: Map<number, Buffer>;
}

const bare = (path: string) => path.replace(/^(?:\.?\/)+/, "");

/** The parts of an upload as one file; undefined when it has a hole or is too large. */
function assembled({ chunks }: Upload): Buffer | undefined {
  const parts = [...chunks].sort(([a], [b]) => a - b);
  let end = 0;
  for (const [offset, data] of parts) {
    if (offset !== end) return undefined;
    end += data.length;
  }
  return end > FLASH_BYTES ? undefined : Buffer.concat(parts.map(([, data]) => data));
}

/**
 * Takes files into the root of the device, as `scp` sends them; it needs the policy `ftp`. Everything else of SFTP is
 * answered with "unsupported".
 */
export function serveSftp(sftp: SFTPWrapper, { device, saved }: SftpOptions): void {
  const uploads = new Map<string, Upload>();
  let opened = 0;
  sftp.on("REALPATH", (id, path) => {
    const filename = `/${bare(path === "." ? "" : path)}`;
    sftp.name(id, [{ filename, longname: filename, attrs: attributes(0, ROOT_MODE) }]);
  });
  const stat = (id: number, path: string) => {
    const content = device.management.flash.read(bare(path));
    if (bare(path) === "" || path === ".") sftp.attrs(id, attributes(0, ROOT_MODE));
    else if (content === undefined) sftp.status(id, STATUS_CODE.NO_SUCH_FILE);
    else sftp.attrs(id, attributes(content.length, FILE_MODE));
  };
  sftp.on("STAT", stat).on("LSTAT", stat);
  sftp.on("OPEN", (id, path, flags) => {
    const name = bare(path);
    const writes = (flags & OPEN_MODE.WRITE) !== 0 && (flags & OPEN_MODE.APPEND) === 0;
    if (!writes) return sftp.status(id, STATUS_CODE.OP_UNSUPPORTED);
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/.test(name)) {
      return sftp.status(id, STATUS_CODE.PERMISSION_DENIED);
    }
    opened += 1;
    uploads.set(String(opened), { name, chunks: new Map() });
    return sftp.handle(id, Buffer.from(String(opened)));
  });
  sftp.on("WRITE", (id, handle, offset, data) => {
    const upload = uploads.get(handle.toString());
    upload?.chunks.set(offset, Buffer.from(data));
    sftp.status(id, upload === undefined ? STATUS_CODE.FAILURE : STATUS_CODE.OK);
  });
  const agree = (id: number) => sftp.status(id, STATUS_CODE.OK);
  sftp.on("FSETSTAT", agree).on("SETSTAT", agree);
  sftp.on("FSTAT", (id) => sftp.attrs(id, attributes(0, FILE_MODE)));
  sftp.on("CLOSE", (id, handle) => {
    const upload = uploads.get(handle.toString());
    uploads.delete(handle.toString());
    const content = upload === undefined ? undefined : assembled(upload);
    const stored =
      upload !== undefined && content !== undefined && device.management.flash.write(upload.name, content);
    if (!stored) sftp.status(id, STATUS_CODE.FAILURE);
    else {
      saved().then(
        () => sftp.status(id, STATUS_CODE.OK),
        () => sftp.status(id, STATUS_CODE.FAILURE),
      );
    }
  });
  const refuse = (id: number) => sftp.status(id, STATUS_CODE.OP_UNSUPPORTED);
  for (const request of ["READ", "OPENDIR", "READDIR", "REMOVE", "RMDIR", "MKDIR", "RENAME", "READLINK"]) {
    sftp.on(request, refuse);
  }
  sftp.on("SYMLINK", refuse);
  sftp.on("end", () => finish(sftp));
}

/** Ends the subsystem with exit status 0, without which `scp` reports a failure. */
function finish(sftp: SFTPWrapper): void {
  // ssh2 has no public way to give a subsystem an exit status.
  const inner = sftp as unknown as {
    outgoing?: { id: number };
    _protocol?: { exitStatus?: (channel: number, status: number) => void };
  };
  if (inner.outgoing !== undefined) inner._protocol?.exitStatus?.(inner.outgoing.id, 0);
  sftp.end();
}

function attributes(size: number, mode: number) {
  return { mode, uid: 0, gid: 0, size, atime: 0, mtime: 0 };
}
