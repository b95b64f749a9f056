import { parseAllDocuments } from "yaml";
import type { Capability } from "../../src/domain/access-mode.ts";
import { type Block, blocksOf } from "./page.fixture.ts";

/** A Kubernetes object of an example; nothing is known about its form. */
// biome-ignore lint/suspicious/noExplicitAny: examples are read as they are
export type Manifest = any;

/** Objects of a YAML block. @throws what the parser finds, warnings too */
export function documentsOf({ text, line }: Block): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem !== undefined) throw new Error(`YAML block of line ${line}: ${problem.message}`);
    return document.toJS();
  });
}

/** Every object of the YAML blocks of a page; `unsafe` ones stand below the warning. */
export function manifestsOf(page: string): { readonly object: Manifest; readonly unsafe: boolean }[] {
  return blocksOf(page)
    .filter(({ language }) => language === "yaml")
    .flatMap((block) =>
      documentsOf(block).map((object) => ({ object, unsafe: block.text.startsWith("# DATA CORRUPTION") })),
    );
}

/** What a claim, a DataVolume's storage or a claim property set asks of the driver. */
export function capabilitiesOf(spec: { accessModes: string[]; volumeMode?: string }): Capability[] {
  const modes: Record<string, Capability["accessMode"]> = {
    ReadWriteOnce: "SINGLE_NODE_WRITER",
    ReadWriteOncePod: "SINGLE_NODE_SINGLE_WRITER",
    ReadWriteMany: "MULTI_NODE_MULTI_WRITER",
  };
  return spec.accessModes.map((mode) => {
    const accessMode = modes[mode];
    if (accessMode === undefined) throw new Error(`access mode ${mode}`);
    return {
      accessMode,
      accessType: spec.volumeMode === "Block" ? "block" : "mount",
      fsType: "",
      mountFlags: [],
    };
  });
}
