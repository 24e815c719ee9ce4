import { resolve } from "node:path";

/**
 * The files that QEMU opens for the backing file name in the header of an image in that folder: a path,
 * `file:PATH`, or `json:` with options of QEMU's block drivers, which may name several files. Absolute paths,
 * the backing file itself first; none if it is not a file of this host.
 */
export function filesOfBackingName(name: string, folder: string): string[] {
  // With a protocol, paths are relative to QEMU's working directory, which libvirt sets to the root.
  if (name.startsWith("json:")) {
    return filesOfOptions(name.slice("json:".length)).map((file) => resolve("/", file));
  }
  if (name.startsWith("file:")) {
    return [resolve("/", name.slice("file:".length))];
  }
  // QEMU's rule for a protocol: a colon before the first slash.
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

/**
 * Values of `filename`, also with a dotted key such as `file.filename`; those within `backing` come last.
 */
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
