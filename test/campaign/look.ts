import type { Stage } from "./actions.ts";
import type { VolumeUser } from "./volume-user.ts";

/** Lists volumes, asks for the capacity, or for the statistics of a volume. @returns whether the call was made */
export async function look(
  user: VolumeUser,
  what: "list" | "capacity" | "stats",
  { caller, history }: Stage,
): Promise<boolean> {
  const { volumeId } = user;
  if (what === "list") {
    const listed = await caller.once(
      user.controllerCall("ListVolumes", (controller, options) => controller.listVolumes({}, options))(),
    );
    const there = listed.value?.entries.some(({ volume }) => volume?.volumeId === volumeId);
    if (listed.value !== undefined && volumeId !== undefined && there !== true)
      history.add({
        fact: "read",
        volume: user.plan.name,
        node: "ListVolumes",
        records: 0,
        lost: [`volume ${volumeId}`],
      });
    return true;
  }
  if (what === "capacity") {
    await caller.once(
      user.controllerCall("GetCapacity", (controller, options) => controller.getCapacity({}, options))(),
    );
    return true;
  }
  const [node] = user.up;
  if (node === undefined || volumeId === undefined) return false;
  const volumePath = user.target(node);
  await caller.once(
    user.nodeCall(node, "NodeGetVolumeStats", (client, options) =>
      client.nodeGetVolumeStats({ volumeId, volumePath }, options),
    )(),
  );
  return true;
}
