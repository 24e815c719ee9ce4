import { rejects, same } from "./assert.ts";
import { context, type Fixture, lockOf, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** How long what is written may take to be read, ms. */
const READ_TIMEOUT_MS = 20_000;

/** The serial console. The guests of this suite need not write anything on it. */
export function consoleTests(kit: Kit): void {
  feature(kit, "console.log", "has a log that ends, before the first boot and after the last", (fixture) =>
    withInstance(fixture, async ({ id }) => {
      const { instances } = fixture.engine;
      same((await read(fixture, id)).length, 0, "bytes before the first boot");
      await instances.start(lockOf(id), context());
      await instances.stop(lockOf(id), "force", context());
      const all = await read(fixture, id);
      const last = await read(fixture, id, 1);
      same(
        all.subarray(all.length - last.length).equals(last),
        true,
        "the last line is the end of the whole",
      );
    }),
  );

  feature(kit, "console.log", "has a log that is followed until the signal", (fixture) =>
    withInstance(fixture, async ({ id }) => {
      await fixture.engine.instances.start(lockOf(id), context());
      const abort = new AbortController();
      const log = fixture.engine.console?.log?.(id, { follow: true, signal: abort.signal });
      const reading = (async () => {
        for await (const _ of log ?? []) {
          abort.abort();
        }
      })();
      // A guest may have nothing to say.
      const timer = setTimeout(() => abort.abort(), 1000);
      await reading;
      clearTimeout(timer);
      await fixture.engine.instances.stop(lockOf(id), "force", context());
    }),
  );

  feature(kit, "console", "is open while the instance runs, and not without", (fixture) =>
    withInstance(fixture, async ({ id }) => {
      const { instances, console } = fixture.engine;
      if (console?.open === undefined) {
        throw new Error("it has no console.open");
      }
      await rejects(console.open(id, {}), "WRONG_STATE");
      await instances.start(lockOf(id), context());
      {
        await using session = await console.open(id, {});
        session.resize(80, 24);
      }
      await using again = await console.open(id, { force: true });
      again.stdout.resume();
      const ended = new Promise<void>((resolve) => {
        again.stdout.once("end", resolve);
        again.stdout.once("close", resolve);
      });
      await instances.stop(lockOf(id), "force", context());
      await again[Symbol.asyncDispose]();
      await ended;
    }),
  );
}

async function read({ engine }: Fixture, id: string, lines?: number): Promise<Buffer> {
  const signal = AbortSignal.timeout(READ_TIMEOUT_MS);
  const chunks: Uint8Array[] = [];
  for await (const chunk of engine.console?.log?.(id, {
    signal,
    ...(lines === undefined ? {} : { lines }),
  }) ?? []) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
