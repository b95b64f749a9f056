import { expect, test } from "bun:test";
import { parseMountinfo } from "./mountinfo.ts";
import { contextDifference } from "./selinux.ts";

const CONTEXT = "system_u:object_r:container_file_t:s0";

/** A mount as a kernel with SELinux lists it. */
function mounted(superOptions: string) {
  const [mount] = parseMountinfo(
    `90 22 259:1 / /staging rw,relatime shared:9 - ext4 /dev/nvme0n1 ${superOptions}`,
  );
  if (mount === undefined) throw new Error("no mount");
  return mount;
}

test("a quoted context is one option, commas and all", () => {
  const { superOptions } = mounted(`rw,context="${CONTEXT}:c15,c25",errors=remount-ro`);
  expect(superOptions).toEqual(["rw", `context="${CONTEXT}:c15,c25"`, "errors=remount-ro"]);
  expect(mounted("rw,discard,commit=5").superOptions).toEqual(["rw", "discard", "commit=5"]);
  // A quote that is never closed comes from another filesystem: every comma counts.
  expect(mounted('rw,upperdir=/a"b,workdir=/c').superOptions).toEqual(["rw", 'upperdir=/a"b', "workdir=/c"]);
});

test("the same context in another spelling is no difference", () => {
  for (const [asked, shown] of [
    [`context="${CONTEXT}:c15,c25"`, `rw,context="${CONTEXT}:c15,c25"`],
    [`context="${CONTEXT}:c25,c15"`, `rw,context="${CONTEXT}:c15,c25"`],
    [`context="${CONTEXT}:c1,c2,c3"`, `rw,context=${CONTEXT}:c1.c3`],
    [`context=${CONTEXT}`, `rw,context=${CONTEXT}`],
    [`context="${CONTEXT}"`, `rw,context=${CONTEXT}`],
  ] as const) {
    expect([asked, contextDifference(["noatime", asked], mounted(shown))]).toEqual([asked, undefined]);
  }
  expect(contextDifference(["noatime"], mounted("rw,seclabel"))).toBeUndefined();
});

test("without SELinux in the kernel there is no difference: the option had no effect", () => {
  expect(contextDifference([`context="${CONTEXT}:c1,c2"`], mounted("rw,errors=remount-ro"))).toBeUndefined();
});

test("another context, none, or one that nobody asked for is a difference", () => {
  const asked = [`context="${CONTEXT}:c1,c2"`];
  expect(contextDifference(asked, mounted(`rw,context="${CONTEXT}:c1,c3"`))).toBe(
    `with the SELinux context ${CONTEXT}:c1,c3; asked for with the SELinux context ${CONTEXT}:c1,c2`,
  );
  expect(contextDifference(asked, mounted("rw,seclabel"))).toBe(
    `with the SELinux labels of its files; asked for with the SELinux context ${CONTEXT}:c1,c2`,
  );
  expect(contextDifference([], mounted(`rw,context=${CONTEXT}`))).toBe(
    `with the SELinux context ${CONTEXT}; asked for with the SELinux labels of its files`,
  );
  expect(contextDifference(asked, mounted(`rw,context="${CONTEXT}:c1.c999999999,c2"`))).toContain(
    "; asked for with ",
  );
  // The labels of the filesystem itself, its root or new files are not those of all files.
  expect(
    contextDifference(['fscontext="system_u:object_r:fs_t:s0"'], mounted("rw,seclabel")),
  ).toBeUndefined();
});
