/**
 * A process of its own that holds an instance, for tests that kill it: `SOCKET DATA NAME` holds until killed;
 * with a fourth argument it restores that snapshot, and kills itself once LXD has begun.
 */
import { silent } from "../libvirt/fixture.ts";
import { context } from "../libvirt/instance-spec.ts";
import { openServer } from "./server.ts";

const [socket = "", dataFolder = "", name = "", snapshot] = process.argv.slice(2);
const engine = await openServer({ settings: { socket }, dataFolder, log: silent }, (client) => ({
  ...client,
  async run(method, path, body, options) {
    if (method !== "PUT" || snapshot === undefined) {
      return client.run(method, path, body, options);
    }
    await client.start(method, path, body, options);
    process.kill(process.pid, "SIGKILL");
    return undefined;
  },
}));
const lock = await engine.instances.lock({ name }, { wait: 0 }, context());
console.log("held");
if (snapshot === undefined) {
  setInterval(() => {}, 1000);
} else {
  await engine.snapshots.restore(lock, snapshot, context());
}
