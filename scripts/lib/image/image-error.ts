/** The reason why the image cannot be made, with the remedy. `missing`: a tool is missing on this machine, nothing is broken. */
export class ImageError extends Error {
  readonly missing: boolean;
  constructor(message: string, { missing = false }: { readonly missing?: boolean } = {}) {
    super(message);
    this.missing = missing;
  }
}
