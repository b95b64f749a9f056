import type { FileEntry } from "../device/files.ts";
import { canonicalPath, isWithin, parentPath } from "../device/paths.ts";
import { RunFailure } from "../errors.ts";
import { id } from "../language/scalars.ts";
import { toText, type Value } from "../language/values.ts";
import type { CommandMenu, Invocation } from "./command.ts";
import { knownProperties, type Listing, listCommands, resolveItems } from "./list-menu.ts";

/** File ids look like `**abc` (facts section 4). */
function fileId(entry: FileEntry): string {
  return `**${entry.id.toString(16).toUpperCase()}`;
}

/** Longer files show no contents (facts section 4). */
const CONTENTS_LIMIT = 60 * 1024;

function fileType(entry: FileEntry): string {
  if (entry.directory) return entry.path.includes("/") ? "directory" : "disk";
  const extension = /\.[A-Za-z0-9]+$/.exec(entry.path)?.[0];
  return extension === undefined ? "file" : `${extension} file`;
}

function fileRow(call: Invocation, entry: FileEntry): Map<string, Value> {
  const row = new Map<string, Value>([
    [".id", id(fileId(entry))],
    ["name", entry.path],
    ["type", fileType(entry)],
  ]);
  if (!entry.directory) row.set("size", entry.size);
  const contents = call.device.management.flash.read(entry.path);
  if (contents !== undefined && contents.length <= CONTENTS_LIMIT)
    row.set("contents", contents.toString("latin1"));
  const modified = call.device.knows("7.16") ? "last-modified" : "creation-time";
  return row.set(modified, call.device.time.moment(entry.modified));
}

const FILES: Listing = {
  properties: ["name", "type", "size", "last-modified", "creation-time", "contents"].map((name) => ({
    name,
  })),
  flags: [],
  columns: ["name", "type", "size", "last-modified"],
  names: ["name"],
  sizes: "human",
  printArguments: [
    { name: "path", type: "string", since: "7.18" },
    { name: "recursive", type: "flag", since: "7.18" },
    { name: "relative", type: "flag", since: "7.18" },
  ],
  rows: (device, call) => {
    const folder = call.args.has("path") ? canonicalPath(call.args.text("path") ?? "") : undefined;
    if (folder !== undefined && !device.fileStore.isDirectory(folder)) throw new RunFailure("no such item");
    const listed = [...device.management.flash.entries, ...device.files].filter((entry) => {
      if (folder === undefined) return true;
      if (call.args.flag("recursive")) return entry.path !== folder && isWithin(entry.path, folder);
      return parentPath(entry.path) === folder;
    });
    const rows = listed.map((entry) => fileRow(call, entry));
    if (folder !== undefined && call.args.flag("relative")) {
      for (const row of rows) row.set("name", toText(row.get("name")).slice(folder.length + 1));
    }
    return rows;
  },
};

function entries(call: Invocation): readonly FileEntry[] {
  return resolveItems(call, FILES, call.args.value("numbers")).flatMap((row) => {
    const path = toText(row.get("name"));
    const entry =
      call.device.file(path) ?? call.device.management.flash.entries.find((one) => one.path === path);
    return entry === undefined ? [] : [entry];
  });
}

async function add(call: Invocation): Promise<Value> {
  const path = canonicalPath(call.args.text("name") ?? "");
  call.device.subvolumeStore.refuseReadOnly(path);
  const directory = call.args.value("type") === "directory";
  const store = call.device.fileStore;
  const entry = directory ? await store.createDirectory(path) : await store.createFile(path, 0n);
  const contents = call.args.text("contents");
  if (contents !== undefined && !directory) {
    if (contents.length > CONTENTS_LIMIT) throw new RunFailure("failure: new contents too long");
    await store.resize(entry, BigInt(contents.length));
    await call.device.writeFile(path, 0n, contents);
  }
  return id(fileId(entry));
}

async function remove(call: Invocation): Promise<Value> {
  for (const entry of entries(call)) {
    if (call.device.management.flash.read(entry.path) !== undefined) {
      call.device.management.flash.remove(entry.path);
      continue;
    }
    call.device.subvolumeStore.refuseReadOnly(entry.path);
    const used = call.device.diskStore.items.some((item) =>
      isWithin(String(item.config.get("file-path")), entry.path),
    );
    if (used && (entry.directory || call.device.switches().fileRemoveInUse === "error")) {
      throw new RunFailure("failure: could not remove, file is in use");
    }
    if (!entry.path.includes("/") || call.device.subvolumeStore.isRoot(entry.path)) {
      throw new RunFailure("failure: could not remove");
    }
    await call.device.fileStore.remove(entry);
  }
  return undefined;
}

async function copy(call: Invocation): Promise<Value> {
  const [source, more] = entries(call);
  const target = canonicalPath(call.args.text("name") ?? "");
  if (source === undefined || more !== undefined || source.directory) throw new RunFailure("no such item");
  call.device.subvolumeStore.refuseReadOnly(target);
  const store = call.device.fileStore;
  if (call.device.file(target) !== undefined)
    throw new RunFailure(call.device.switches().directoryExistsText);
  if (!store.isDirectory(parentPath(target))) throw new RunFailure("failure: cannot open output file");
  const { copy: mode, copyMs } = call.device.switches();
  const move = async () => {
    if (store.get(source.path) !== source) throw new RunFailure("no such item");
    if (store.get(target) !== undefined) throw new RunFailure(call.device.switches().directoryExistsText);
    await store.copy(source, target);
  };
  if (mode === "async") {
    call.background(copyMs, move);
    return undefined;
  }
  if (copyMs > 0) await call.sleep(copyMs);
  await move();
  return undefined;
}

/** /file (facts section 4). */
export const FILE_MENU: CommandMenu = {
  name: "file",
  properties: knownProperties(FILES),
  commands: [
    ...listCommands(FILES),
    {
      name: "add",
      arguments: [
        { name: "name", type: "string" },
        { name: "type", type: "enum", values: ["directory", "file"] },
        { name: "contents", type: "string" },
      ],
      required: ["name"],
      policy: "write",
      run: add,
    },
    {
      name: "remove",
      arguments: [{ name: "numbers", type: "items" }],
      positional: ["numbers"],
      required: ["numbers"],
      policy: "write",
      run: remove,
    },
    {
      name: "copy",
      arguments: [
        { name: "numbers", type: "items" },
        { name: "name", type: "string" },
      ],
      positional: ["numbers"],
      required: ["numbers", "name"],
      since: "7.23",
      policy: "write",
      run: copy,
    },
  ],
};
