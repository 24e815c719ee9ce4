import { resolve } from "node:path";

/**
 * The files that QEMU opens for the name of a backing file in the header of an image in that folder: a
 * path, `file:PATH`, or `json:` with options of QEMU's block drivers, which may name several. Absolute, the
 * backing file itself first; none where it is no file of the host.
 */
export function filesOfBackingName(name: string, folder: string): string[] {
  // What has a protocol is relative to where QEMU runs, which libvirt has at the root.
  if (name.startsWith("json:")) {
    return filesOfOptions(name.slice("json:".length)).map((file) => resolve("/", file));
  }
  if (name.startsWith("file:")) {
    return [resolve("/", name.slice("file:".length))];
  }
  // As QEMU tells a protocol from a path: a colon before the first slash.
  return /^[^/]*:/.test(name) ? [] : [resolve(folder, name)];
}

function filesOfOptions(text: string): string[] {
  try {
    return filenames(JSON.parse(text));
  } catch {
    // QEMU could not open it either.
    return [];
  }
}

/** Values of `filename`, also under a dotted key such as `file.filename`; what lies behind `backing` last. */
function filenames(options: unknown): string[] {
  if (typeof options !== "object" || options === null) {
    return [];
  }
  const entries = Object.entries(options).map(([key, value]: [string, unknown]) => ({
    files: typeof value === "string" && /(^|\.)filename$/.test(key) ? [value] : filenames(value),
    behind: /(^|\.)backing(\.|$)/.test(key),
  }));
  return [false, true].flatMap((wanted) =>
    entries.flatMap(({ files, behind }) => (behind === wanted ? files : [])),
  );
}
