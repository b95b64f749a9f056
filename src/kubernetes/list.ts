import { ApiStatusError } from "./api-error.ts";

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Continue token of the next page; undefined or "" on the last. */
  readonly next: string | undefined;
}

/** Objects per page. */
export const PAGE_LIMIT = 500;
const MAX_RESTARTS = 3;

/**
 * Reads all pages of a list. The API server forgets the snapshot behind a continue token after some minutes (410 Gone);
 * the list then starts over, as pages of different snapshots do not make one list.
 * @param read reads the page after a continue token, or the first
 * @throws the errors of `read`; ApiStatusError 410 after 3 fresh starts
 */
export async function listAll<T>(
  read: (continueToken: string | undefined) => Promise<Page<T>>,
): Promise<{ readonly items: readonly T[] }> {
  for (let restarts = 0; ; restarts += 1) {
    try {
      return await oneSnapshot(read);
    } catch (error) {
      const expired = error instanceof ApiStatusError && error.status === 410;
      if (!expired || restarts >= MAX_RESTARTS) throw error;
    }
  }
}

async function oneSnapshot<T>(
  read: (continueToken: string | undefined) => Promise<Page<T>>,
): Promise<{ readonly items: readonly T[] }> {
  const items: T[] = [];
  let page = await read(undefined);
  items.push(...page.items);
  while (page.next) {
    page = await read(page.next);
    items.push(...page.items);
  }
  return { items };
}

/** A list as the typed API classes and the custom objects API return it. */
export interface RawList<T> {
  readonly items?: readonly T[] | null;
  readonly metadata?: { readonly _continue?: string; readonly continue?: string };
}

/** @throws Error when the answer is no list: an empty one would be taken for "none exist" */
export function toPage<T>(list: RawList<T>): Page<T> {
  if (list.items !== null && !Array.isArray(list.items))
    throw new Error("the answer of the API server is not a list");
  const { metadata } = list;
  return {
    items: list.items ?? [],
    next: metadata?._continue ?? metadata?.continue,
  };
}
