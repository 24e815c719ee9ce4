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
  return command("image", "build, list and delete images on this host", "image build debian --variant micro")
    .addCommand(buildCommand(cli))
    .addCommand(imageListCommand(cli))
    .addCommand(imageDeleteCommand(cli));
}

interface BuildOptions {
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
        "cloud: systemd and cloud-init; micro: boots within seconds, for tests; container: for LXD",
      )
        .choices(["cloud", "micro", "container"])
        .default("cloud"),
    )
    .option("--release <release>", "release to build: bookworm or trixie (default: the host's)")
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
      cli.progress.clear();
      await write(cli.io, `Built: ${image.aliases[0]} ${image.sha256.slice(0, 12)}\n`);
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
    .action(async (names: string[]) => {
      const removed = await (await cli.strata()).images.delete(names, cli.call);
      for (const image of removed) {
        await write(cli.io, `Deleted: ${image.sha256.slice(0, 12)} ${titleOf(image)}\n`);
      }
    });
}

function titleOf({ os, release }: ImageInfo): string {
  return printable([os, release].filter(Boolean).join(" ")) || "--";
}

function formatImages(images: readonly ImageInfo[], format: Format): string {
  const plain = images.map(({ sha256, os, release, aliases, size, createdAt, usedAt, source, outdated }) => ({
    sha256,
    os,
    release,
    aliases,
    size: String(size),
    created: new Date(createdAt).toISOString(),
    used: new Date(usedAt).toISOString(),
    source,
    outdated,
  }));
  switch (format) {
    case "json":
      return json({ images: plain });
    case "yaml":
      return yaml(plain);
    case "csv":
      return csvLines([
        ["Hash", "OS", "Release", "Aliases", "Size", "Created", "Used", "Source", "Outdated"],
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
        ]),
      ]);
    case "table":
      return images.length === 0
        ? "No images found.\n"
        : columns([
            ["Hash", "Image", "Aliases", "Size", "Used"],
            ...images.map((image) => [
              image.sha256.slice(0, 12),
              titleOf(image),
              image.aliases.join(", ") || "--",
              formatSize(image.size),
              new Date(image.usedAt).toISOString().slice(0, 10),
            ]),
          ]);
  }
}
