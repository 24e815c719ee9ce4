import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { access, link, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import type { Command } from "commander";
import { failure, isStrataError } from "../../errors.ts";
import { systemReason } from "../../util/own-files.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";

/** Standard output as a target, standard input as a source. */
const STREAM = "-";

export function exportCommand(cli: Cli): Command {
  return command(
    "export",
    [
      "write an instance to a file",
      "write a stopped instance with all its snapshots to a file, for another host",
    ],
    "export web web.tar",
    "export web - | ssh box strata import -",
  )
    .argument("<name>", "instance to export, which must be stopped")
    .argument("<file>", "file to create, or - for standard output")
    .action(async (name: string, path: string) => {
      const { instances } = await cli.strata();
      if (path === STREAM) {
        if (cli.io.stdout.isTTY === true) {
          throw failure("USAGE", { reason: "give a file, or send standard output elsewhere" });
        }
        await instances.export(name, cli.io.stdout, cli.call);
        return;
      }
      // One that exists is never written over.
      await access(path).then(
        () => {
          throw failure("INVALID_VALUE", { what: "the file", value: path, reason: "must not exist yet" });
        },
        () => {},
      );
      const partial = `${path}.${process.pid}.partial`;
      try {
        const file = createWriteStream(partial, { flags: "wx", mode: 0o600, flush: true });
        await instances.export(name, file, cli.call);
        await finished(file.end());
        // Unlike a rename, a link never replaces what is there.
        await link(partial, path);
      } catch (error) {
        throw isStrataError(error)
          ? error
          : failure("TRANSFER_FAILED", { path, reason: systemReason(error) }, error);
      } finally {
        await rm(partial, { force: true });
      }
      cli.progress.clear();
      await write(cli.io, `Exported: ${name}\n`);
    });
}

export function importCommand(cli: Cli): Command {
  return command(
    "import",
    [
      "make an instance of an export",
      "make an instance of what export has written, stopped, with all its snapshots",
    ],
    "import web.tar",
    "import - --as web2 < web.tar",
  )
    .argument("<file>", "file that export has written, or - for standard input")
    .option("--as <name>", "name of the instance (default: the one that it had)")
    .action(async (path: string, options: { as?: string }) => {
      const from =
        path === STREAM ? Readable.from(cli.io.stdin as AsyncIterable<Buffer>) : await openFile(path);
      try {
        const { instances } = await cli.strata();
        const wanted = options.as === undefined ? {} : { name: options.as };
        const { name } = await instances.import(from, { ...wanted, ...cli.call });
        cli.progress.clear();
        await write(cli.io, `Imported: ${name}\n`);
      } finally {
        from.destroy();
        // Input that is no longer read must not keep the process alive.
        if (path === STREAM && "destroy" in cli.io.stdin) {
          cli.io.stdin.destroy();
        }
      }
    });
}

async function openFile(path: string): Promise<Readable> {
  const file = createReadStream(path);
  await once(file, "open").catch((error: unknown) => {
    throw failure("FILE_NOT_FOUND", { path }, error);
  });
  return file;
}
