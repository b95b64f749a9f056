import { ChannelLimits } from "./channel-limit.ts";
import type { Command } from "./command.ts";
import { CommandOrder } from "./command-order.ts";
import { Lane } from "./lane.ts";
import type { LaneOptions, Neighbours } from "./lane-options.ts";
import type { Purpose } from "./transport.ts";

/** The lanes of one device, by purpose. They share the order of changes and what is known about channels. */
export function createLanes(
  options: Omit<LaneOptions, "purpose" | "limits" | "neighbours" | "onReconnect"> & {
    readonly channels: number;
    readonly questionMs: number;
    readonly onReconnect: (purpose: Purpose) => void;
  },
): Readonly<Record<Purpose, Lane>> {
  const { channels, questionMs, clock, logger, observer } = options;
  const limits = new ChannelLimits({
    channels,
    questionMs,
    clock,
    logger,
    onChange: (now) => observer.onChannels(now),
  });
  const lanes = new Map<Purpose, Lane>();
  const each = (act: (lane: Lane) => void): void => {
    for (const lane of lanes.values()) act(lane);
  };
  const neighbours: Neighbours = {
    order: new CommandOrder<Command>(),
    changed: () => each((lane) => lane.pump()),
    spare: () => {
      for (const lane of lanes.values()) if (lane.spare !== undefined) return lane.spare;
      return undefined;
    },
  };
  const open = (purpose: Purpose): Lane => {
    const onReconnect = (): void => options.onReconnect(purpose);
    const lane = new Lane({ ...options, purpose, limits, neighbours, onReconnect });
    lanes.set(purpose, lane);
    return lane;
  };
  return { attach: open("attach"), change: open("change"), read: open("read"), copy: open("copy") };
}

/** Closes all lanes. None of them sends a command that waited for one of another lane. */
export async function closeLanes(lanes: Readonly<Record<Purpose, Lane>>): Promise<void> {
  const all = Object.values(lanes);
  for (const lane of all) lane.stop();
  await Promise.all(all.map((lane) => lane.close()));
}
