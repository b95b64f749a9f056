import { afterEach, beforeEach } from "bun:test";
import { startWorld, type World } from "../../test/support/kubernetes/world.ts";
import type { Kubernetes } from "./create.ts";

export let world: World;

export let client: Kubernetes;

/** Gives each test of a file a Kubernetes API of its own and a client of it. */
export function useWorld(): void {
  beforeEach(async () => {
    world = await startWorld();
    client = await world.client();
  });
  afterEach(() => world.stop());
}
