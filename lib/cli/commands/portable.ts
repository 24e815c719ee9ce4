import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { type Command, Option } from "commander";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";
import { asNewFile, openFile } from "../user-file.ts";

/** Standard output as a target, standard input as a source. */
const STREAM = "-";

interface ExportFlags {
  format: "strata" | "qcow2";
  disk?: string;
}

export function exportCommand(cli: Cli): Command {
  return command(
    "export",
    [
      "write an instance or a snapshot to a file",
      "write a stopped instance with its snapshots, or one snapshot, to a file",
    ],
    "export web web.tar",
    "export web.clean clean.tar",
    "export web - | ssh box strata import -",
    "export web.clean clean.qcow2 --format qcow2",
  )
    .argument("<name>", "instance, which must be stopped, or INSTANCE.SNAPSHOT")
    .argument("<file>", "file to create, or - for standard output")
    .addOption(
      new Option(
        "--format <format>",
        "strata for `import`; qcow2 is the contents of one disk for other tools",
      )
        .choices(["strata", "qcow2"])
        .default("strata"),
    )
    .option("--disk <disk>", "with --format qcow2: which disk, such as vdb (default: the system disk)")
    .action(async (given: string, path: string, { format, disk }: ExportFlags) => {
      if (disk !== undefined && format !== "qcow2") {
        throw failure("USAGE", { reason: "--disk needs --format qcow2" });
      }
      const strata = await cli.strata();
      const { instance, snapshot } = await strata.resolve(given);
      const options = { ...defined({ snapshot, disk }), ...cli.call };
      const { instances } = strata;
      const toFile =
        format === "qcow2"
          ? (file: string) => instances.exportDisk(instance, file, options)
          : async (file: string) => {
              const stream = createWriteStream(file, { flags: "wx", mode: 0o600, flush: true });
              await instances.export(instance, stream, options);
              await finished(stream.end());
            };
      if (path !== STREAM) {
        await asNewFile(path, async (partial) => {
          await toFile(partial);
          return true;
        });
        cli.progress.clear();
        await write(cli.io, `Exported: ${given}\n`);
        return;
      }
      if (cli.io.stdout.isTTY === true) {
        throw failure("USAGE", { reason: "give a file, or send standard output elsewhere" });
      }
      await (format === "qcow2"
        ? byWayOfFile(toFile, cli.io.stdout, cli.call.signal)
        : instances.export(instance, cli.io.stdout, options));
    });
}

/** Sends what can only be made as a file to a stream. */
async function byWayOfFile(
  fill: (path: string) => Promise<void>,
  to: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<void> {
  // Not in /tmp, which may be in memory.
  const folder = await mkdtemp(join(process.env.TMPDIR ?? "/var/tmp", "strata-"));
  try {
    const path = join(folder, "disk.qcow2");
    await fill(path);
    await pipeline(createReadStream(path), to, { end: false, signal });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
    .addOption(
      new Option(
        "--identity <identity>",
        "make another machine of it, or keep UUID, MAC address and host keys",
      )
        .choices(["new", "keep"])
        .default("new"),
    )
    .action(async (path: string, options: { as?: string; identity: "new" | "keep" }) => {
      const from =
        path === STREAM ? Readable.from(cli.io.stdin as AsyncIterable<Buffer>) : await openFile(path);
      try {
        const { instances } = await cli.strata();
        const { as: name, identity } = options;
        const wanted = { ...defined({ name }), identity };
        const made = await instances.import(from, { ...wanted, ...cli.call });
        cli.progress.clear();
        await write(cli.io, `Imported: ${made.name}\n`);
      } finally {
        from.destroy();
        // Input that is no longer read must not keep the process alive.
        if (path === STREAM && "destroy" in cli.io.stdin) {
          cli.io.stdin.destroy();
        }
      }
    });
}
