import type { ImageOffer, ImageOffers } from "../../core/api/strata.ts";
import { columns, csvField, csvLines, printable } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** Images that can be launched, in a line each. */
export function formatFind(offers: ImageOffers, format: Format): string {
  const { images, errors } = offers;
  switch (format) {
    case "json":
      return json({ errors, images: byName(images) });
    case "yaml":
      return yaml({ errors: [...errors], images: byName(images) });
    case "csv":
      return csvLines([
        ["Image", "Remote", "Aliases", "OS", "Release", "Version", "Type"],
        ...images.map(({ name, remote, aliases, os, release, version }) => [
          csvField(name),
          csvField(remote),
          csvField(aliases.join(";")),
          csvField(os),
          csvField(release),
          csvField(version),
          "Cloud Image",
        ]),
      ]);
    case "table":
      if (images.length === 0) {
        return "No images found.\n";
      }
      return columns([
        ["Image", "Aliases", "Version", "Description"],
        ...images.map(({ name, aliases, version, os, release }) =>
          [name, aliases.join(","), version, [os, release].filter(Boolean).join(" ")].map(printable),
        ),
      ]);
  }
}

function byName(images: readonly ImageOffer[]) {
  const entries = images.map(({ name, aliases, os, release, remote, version }) => [
    name,
    { aliases: [...aliases], os, release, remote, version },
  ]);
  return Object.fromEntries(entries);
}
