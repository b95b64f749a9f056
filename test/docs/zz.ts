import { produceEverything, VOLUME, World, answer, RWX } from "./scenarios.fixture.ts";
const p = await produceEverything();
console.log([...p.events].join("\n")); console.log("--"); console.log([...p.errors].join("\n")); console.log(VOLUME);
for (const [fencing, sw] of [["epoch", "exact"],["epoch+hosts","exact"],["epoch+hosts","comma-list"]] as const) {
  const w = await World.start({ fencing, switches: { allowHostName: sw } } as never);
  const a = await w.publish("node-a"); 
  const d = w.stack.simulator.device;
  console.log(fencing, sw, "a alone", d.connectHost(a.nqn, a.hostNqn));
  const b = await w.publish("node-b");
  console.log(" both: a", d.connectHost(a.nqn, a.hostNqn), "b", d.connectHost(b.nqn, b.hostNqn));
  await w.unpublish("node-a");
  console.log(" after a detached: a", d.connectHost(a.nqn, a.hostNqn), "b", d.connectHost(b.nqn, b.hostNqn));
  await w.stack.close();
}
const w = await World.start({});
await w.publish("node-a");
w.cluster.pods.splice(0);
w.cluster.addLauncher("virt-launcher-vm1-new", "vm1-second-uid", "node-b", "vm1-root");
console.log("force-deleted source pod:", await answer(w.publish("node-b")), await w.nodes());
await w.stack.close();
process.exit(0);
