/** For now: the executable itself. */
export async function clockWrapper(executable: string, _directory: string): Promise<string> {
  return executable;
}
