import { run } from "../lib/cli/run.ts";

// strata decides about the permissions of the owner of its files. A umask that removes these would make files
// that the next command cannot open. This also applies to files that qemu-img and a daemon create when we
// start them.
process.umask(process.umask() & 0o077);

void run(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
