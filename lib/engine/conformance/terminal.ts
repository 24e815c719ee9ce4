import { AsyncLocalStorage } from "node:async_hooks";

const heard = new AsyncLocalStorage<string[]>();

/**
 * What some work writes to the terminal, and whatever it starts while it runs. It is not kept from it. mocha's own
 * output, and that of an engine that was opened before, come from elsewhere and do not count.
 */
export async function hear(work: () => Promise<void>): Promise<string> {
  const written: string[] = [];
  listen(process.stdout);
  listen(process.stderr);
  await heard.run(written, work);
  return written.join("");
}

const listening = new WeakSet<NodeJS.WriteStream>();

function listen(stream: NodeJS.WriteStream): void {
  if (listening.has(stream)) {
    return;
  }
  listening.add(stream);
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  stream.write = (...args: unknown[]) => {
    heard.getStore()?.push(String(args[0]));
    return write(...args);
  };
}
