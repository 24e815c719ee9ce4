import { type Command, Option } from "commander";
import type { ImageInfo } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import { formatSize } from "../../size/format.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { columns, csvField, csvLines, printable } from "../format/cell.ts";
import { type Format, json, parseFormat, yaml } from "../format/format.ts";
import { write } from "../io.ts";

export function imageCommand(cli: Cli): Command {
  return command(
    "image",
    "manage the images on this host",
    "image build debian --variant micro",
    "image list",
  )
    .addCommand(imageListCommand(cli))
    .addCommand(buildCommand(cli))
    .addCommand(pullCommand(cli))
    .addCommand(importCommand(cli))
    .addCommand(imageRenameCommand(cli))
    .addCommand(imageDeleteCommand(cli));
}

const SYSTEM = ["--system", "for all users of this host, as root"] as const;

interface PlaceOptions {
  readonly system?: boolean;
}

interface BuildOptions extends PlaceOptions {
  readonly variant: "cloud" | "micro" | "container";
  readonly release?: string;
}

function buildCommand(cli: Cli): Command {
  return command(
    "build",
    "build a guest image from the packages of a distribution",
    "image build debian --variant micro",
    "image build debian --release trixie",
  )
    .argument("<distribution>", "distribution to build: debian")
    .addOption(
      new Option(
        "--variant <variant>",
        "cloud: systemd and cloud-init; micro: boots within seconds, for tests; container: for LXD and Incus",
      )
        .choices(["cloud", "micro", "container"])
        .default("cloud"),
    )
    .option("--release <release>", "release to build: bookworm or trixie (default: the host's)")
    .option(...SYSTEM)
    .action(async (distribution: string, options: BuildOptions) => {
      if (distribution !== "debian") {
        throw failure("INVALID_VALUE", {
          what: "the distribution",
          value: distribution,
          reason: "must be debian",
        });
      }
      const strata = await cli.strata();
      const image = await strata.images.build({ distribution, ...options, ...cli.call });
      await tell(cli, "Built", image);
    });
}

/** How something went with an image, by the first of its names. */
async function tell(cli: Cli, what: string, { aliases, sha256 }: ImageInfo): Promise<void> {
  cli.progress.clear();
  await write(cli.io, `${[`${what}:`, ...aliases.slice(0, 1), sha256.slice(0, 12)].join(" ")}\n`);
}

function pullCommand(cli: Cli): Command {
  return command(
    "pull",
    "download the newest version of a published image",
    "image pull noble",
    "image pull --system daily:26.10",
  )
    .argument(
      "<name>",
      "alias or start of a hash, of a certain remote as REMOTE:NAME; `strata find` lists them",
    )
    .option(...SYSTEM)
    .action(async (name: string, { system = false }: PlaceOptions) => {
      const { images } = await cli.strata();
      const before = await images.list();
      const image = await images.pull(name, { system, ...cli.call });
      const known = before.some(({ sha256 }) => sha256 === image.sha256);
      await tell(cli, known ? "Up to date" : "Pulled", image);
    });
}

function importCommand(cli: Cli): Command {
  return command(
    "import",
    "add an image from a file or a URL",
    "image import ./guest.qcow2 --name golden",
    "image import https://images.example/guest.qcow2#sha256=HEX",
  )
    .argument("<source>", "path, file:///PATH, or http(s)://…#sha256=HEX")
    .option("--name <name>", "name that launches it (default: that of the file)")
    .option(...SYSTEM)
    .action(async (source: string, { name, system = false }: PlaceOptions & { name?: string }) => {
      const { images } = await cli.strata();
      const wanted = name === undefined ? {} : { name };
      await tell(cli, "Imported", await images.import(source, { ...wanted, system, ...cli.call }));
    });
}

function imageRenameCommand(cli: Cli): Command {
  return command(
    "rename",
    "give an image another name, in the place of all that it has",
    "image rename debian-cloud golden",
  )
    .argument("<image>", "image, by alias or by the first digits of the hash")
    .argument("<new-name>", "name to give it")
    .option(...SYSTEM)
    .action(async (image: string, name: string, { system = false }: PlaceOptions) => {
      await (await cli.strata()).images.rename(image, name, { system, ...cli.call });
      await write(cli.io, `Renamed: ${printable(image)} to ${name}\n`);
    });
}

function imageListCommand(cli: Cli): Command {
  return command("list", "list the images on this host", "image list")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      await write(cli.io, formatImages(await (await cli.strata()).images.list(), format));
    });
}

function imageDeleteCommand(cli: Cli): Command {
  return command("delete", "delete images from this host", "image delete noble 5a636e81e2ff")
    .argument("<images...>", "images, by alias or by the first digits of the hash")
    .option(...SYSTEM)
    .action(async (names: string[], { system = false }: PlaceOptions) => {
      const removed = await (await cli.strata()).images.delete(names, { system, ...cli.call });
      for (const image of removed) {
        await write(cli.io, `Deleted: ${image.sha256.slice(0, 12)} ${titleOf(image, image.aliases[0])}\n`);
      }
    });
}

function titleOf({ os, release }: ImageInfo, fallback = "--"): string {
  return printable([os, release].filter(Boolean).join(" ")) || fallback;
}

function formatImages(images: readonly ImageInfo[], format: Format): string {
  const plain = images.map(({ sha256, os, release, aliases, size, createdAt, usedAt, ...rest }) => ({
    sha256,
    os,
    release,
    aliases,
    size: String(size),
    created: new Date(createdAt).toISOString(),
    used: new Date(usedAt).toISOString(),
    source: rest.source,
    outdated: rest.outdated,
    system: rest.system,
  }));
  const shared = images.some(({ system }) => system);
  switch (format) {
    case "json":
      return json({ images: plain });
    case "yaml":
      return yaml(plain);
    case "csv":
      return csvLines([
        ["Hash", "OS", "Release", "Aliases", "Size", "Created", "Used", "Source", "Outdated", "System"],
        ...plain.map((image) => [
          image.sha256,
          csvField(image.os),
          csvField(image.release),
          csvField(image.aliases.join(";")),
          image.size,
          image.created,
          image.used,
          csvField(image.source),
          String(image.outdated),
          String(image.system),
        ]),
      ]);
    case "table":
      return images.length === 0
        ? "No images found.\n"
        : columns([
            ["Hash", "Image", "Aliases", "Size", "Used", ...(shared ? ["Store"] : [])],
            ...images.map((image) => [
              image.sha256.slice(0, 12),
              titleOf(image),
              image.aliases.join(", ") || "--",
              formatSize(image.size),
              new Date(image.usedAt).toISOString().slice(0, 10),
              ...(shared ? [image.system ? "system" : "own"] : []),
            ]),
          ]);
  }
}
