import type { Mount } from "./mountinfo.ts";

/** Categories of a level, such as `c1,c5.c7`. */
const CATEGORIES = /^c\d+(\.c\d+)?(,c\d+(\.c\d+)?)*$/;
/** A range of categories that is longer than all that a policy has is not one. */
const MOST_CATEGORIES = 4_096;

/**
 * How the SELinux context of a mount differs from the one that its options ask for (`context=`, one label for all files). undefined: it
 * does not, or the kernel does not use SELinux: then it shows neither labels nor a context, and the mount program has dropped the option.
 * @param flags mount options as they were asked for
 * Source: Linux, security/selinux/hooks.c, selinux_sb_show_options; mount(8), "context=".
 */
export function contextDifference(
  flags: readonly string[],
  { superOptions }: Pick<Mount, "superOptions">,
): string | undefined {
  const wanted = contextIn(flags);
  const has = contextIn(superOptions);
  if (has === undefined && !superOptions.includes("seclabel")) return undefined;
  if (wanted === has || (wanted !== undefined && has !== undefined && isSame(wanted, has))) return undefined;
  return `with ${described(has)}; asked for with ${described(wanted)}`;
}

function contextIn(options: readonly string[]): string | undefined {
  const option = options.find((each) => each.startsWith("context="));
  return option?.slice("context=".length).replace(/^"(.*)"$/s, "$1");
}

function described(context: string | undefined): string {
  return context === undefined ? "the SELinux labels of its files" : `the SELinux context ${context}`;
}

/** The kernel writes the categories of a level in an order and form of its own. */
function isSame(a: string, b: string): boolean {
  return a === b || normal(a) === normal(b);
}

function normal(context: string): string {
  const at = context.lastIndexOf(":");
  const categories = context.slice(at + 1);
  if (!CATEGORIES.test(categories)) return context;
  const all = categories.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split(".").map((each) => Number(each.slice(1)));
    if (last < first || last >= MOST_CATEGORIES) return [part];
    return Array.from({ length: last - first + 1 }, (_, index) => `c${first + index}`);
  });
  return `${context.slice(0, at)}:${[...new Set(all)].toSorted().join(",")}`;
}
