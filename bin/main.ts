import { run } from "../lib/cli/run.ts";

// What the owner of files may do is ours to say: with a umask that takes it from him, what one command makes
// the next could not open. So it is with what qemu-img and a daemon make that we start.
process.umask(process.umask() & 0o077);

void run(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
