import type { Helper } from "../../src/host/helper.ts";

const unused = () => Promise.reject(new Error("unused"));

/** A helper that answers nothing; tests replace what they need. */
export const unusedHelper: Helper = {
  lookForData: unused,
  inspect: unused,
  users: unused,
  ext4State: unused,
  findFilesystem: unused,
  writeMark: unused,
  eraseMarks: unused,
  lookForUuid: unused,
  changeUuid: unused,
  endController: unused,
};
