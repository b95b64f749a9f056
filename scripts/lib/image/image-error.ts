/** What keeps the image from being made, with the remedy. `missing`: this machine lacks something, nothing is broken. */
export class ImageError extends Error {
  readonly missing: boolean;
  constructor(message: string, { missing = false }: { readonly missing?: boolean } = {}) {
    super(message);
    this.missing = missing;
  }
}
