/** One line of the engine that is wrong, and the tests that must notice. */
export interface Mutant {
  readonly file: string;
  readonly line: string;
  readonly wrong: string;
  readonly tests: readonly (keyof typeof TESTS)[];
}

/** What runs: files, and a pattern of titles. */
export const TESTS = {
  kinds: [
    "test/e2e/libvirt/adopted-kinds.test.ts",
    "comes back|removed for good|gets no file|grows|cloned|given back as raw",
  ],
  attached: ["test/e2e/libvirt/attached-disks.test.ts", "."],
  refused: ["test/e2e/libvirt/shapes.test.ts", "is refused"],
  shapes: ["test/e2e/libvirt/shapes.test.ts", "left out|share|on one image|own, adopted|512|symbolic"],
  several: ["test/e2e/libvirt/several-disks.test.ts", "."],
  adoption: ["test/e2e/libvirt/adoption.test.ts", "."],
  release: ["test/e2e/libvirt/release.test.ts", "."],
  unit: ["test/unit/plugins/libvirt/**/*.test.ts", "."],
} as const;

const mutant = (tests: Mutant["tests"], file: string, line: string, wrong: string): Mutant => ({
  file: `plugins/libvirt/${file}`,
  line,
  wrong,
  tests,
});

export const MUTANTS: readonly Mutant[] = [
  // Formats.
  mutant(
    ["kinds"],
    "qcow2/image.ts",
    'return format === "raw" ? readRawSync(path)',
    "return format !== format ? readRawSync(path)",
  ),
  mutant(
    ["shapes"],
    "qcow2/image.ts",
    "((found.size + SECTOR - 1n) / SECTOR) * SECTOR",
    "(found.size / SECTOR) * SECTOR",
  ),
  mutant(["kinds"], "qcow2/image.ts", "if (found.isBlockDevice()) {", "if (found.isFIFO()) {"),
  mutant(
    ["kinds"],
    "qcow2/overlay.ts",
    "emptyOverlay(backing, virtualSize, format)",
    "emptyOverlay(backing, virtualSize)",
  ),
  mutant(
    ["kinds"],
    "qcow2/header.ts",
    "if (type === BACKING_FORMAT) {",
    "if (type === BACKING_FORMAT + 1) {",
  ),
  mutant(["refused"], "qcow2/header.ts", "const EXTERNAL_DATA = 4n;", "const EXTERNAL_DATA = 8n;"),
  mutant(
    ["kinds"],
    "qcow2/qemu-img.ts",
    'return ["-b", path, "-F", format];',
    'return ["-b", path, "-F", "qcow2"];',
  ),
  mutant(
    ["unit"],
    "xml/own-files.ts",
    'return find(disk, "driver")?.attributes.type ?? "raw";',
    'return find(disk, "driver")?.attributes.type ?? "qcow2";',
  ),
  mutant(
    ["unit"],
    "xml/own-files.ts",
    "const raw = [...some, ...others].filter",
    "const raw = [...others].filter",
  ),
  mutant(["unit"], "xml/own-files.ts", 'formats.set(file, "raw");', 'formats.set(file, "qcow2");'),
  mutant(["unit"], "xml/own-files.ts", "dirname(file) !== metadata?.folder && ", ""),
  mutant(["unit"], "xml/own-files.ts", "own.file === file && own.target === target", "own.target === target"),
  mutant(
    ["unit"],
    "xml/metadata.ts",
    'format: format === "qcow2" ? format : "raw",',
    'format: format === "raw" ? format : "qcow2",',
  ),
  mutant(
    ["unit"],
    "xml/metadata.ts",
    "version: metadata.own === undefined ? record.version : WITH_OWN_FILES,",
    "version: record.version,",
  ),
  mutant(
    ["kinds"],
    "layers/layers.ts",
    "&& !into.headers.has(at) && !own.has(at); ) {",
    "&& !into.headers.has(at); ) {",
  ),
  mutant(
    ["unit"],
    "layers/layers.ts",
    'at = layer.backingFormat === "raw" ? null : layer.backing;',
    "at = layer.backing;",
  ),
  mutant(["unit"], "layers/layers.ts", 'ends.own.set(through, "raw");', "ends.own.delete(through);"),
  mutant(["unit"], "layers/layer-graph.ts", '(formats.has(path) ? "raw" : "qcow2")', '"qcow2"'),
  mutant(["kinds"], "layers/merge.ts", "format: graph.formatOf(target)", 'format: "qcow2" as const'),
  mutant(
    ["kinds"],
    "layers/flattened/recipe.ts",
    "{ path: layer, format: layerFormat }, below",
    "{ path: layer, format: onFormat }, below",
  ),
  mutant(["kinds"], "snapshots/restore.ts", "{ format: graph.formatOf(disk.frozen) }", "{}"),
  mutant(["kinds"], "snapshots/take.ts", "{ format: graph.formatOf(frozen) }", "{}"),
  // How a definition names a file.
  mutant(
    ["kinds"],
    "xml/own-files.ts",
    "return { type, source: { dev: file } };",
    "return { type, source: { file } };",
  ),
  mutant(["kinds"], "xml/disks.ts", "disk.attributes.type = type;", 'disk.attributes.type = "file";'),
  mutant(["kinds"], "xml/disks.ts", 'const format = own?.format ?? "qcow2";', 'const format = "qcow2";'),
  mutant(
    ["kinds"],
    "lifecycle/release.ts",
    "putMetadata(document, known);",
    "putMetadata(document, metadata);",
  ),
  // What may be adopted.
  mutant(
    ["adoption"],
    "lifecycle/adoptable.ts",
    ".find(({ uuid }) => uuid !== domain.uuid)",
    ".find(({ uuid }) => uuid === domain.uuid)",
  ),
  mutant(["adoption"], "lifecycle/adoptable.ts", "snapshots > 0 ?", "snapshots > 1 ?"),
  mutant(["refused"], "lifecycle/adoptable.ts", "checkpoints.length > 0", "checkpoints.length > 1"),
  mutant(
    ["refused"],
    "snapshots/own-chain.ts",
    "if (backingFormat === null) {",
    'if (backingFormat === "") {',
  ),
  mutant(["refused"], "snapshots/own-chain.ts", "...(inside > 0", "...(inside > 1"),
  mutant(["refused"], "snapshots/own-chain.ts", "...(encrypted", "...(externalData"),
  mutant(
    ["refused"],
    "snapshots/coverable.ts",
    'for (const name of ["transient", "encryption"]) {',
    'for (const name of ["encryption"]) {',
  ),
  mutant(["refused"], "snapshots/coverable.ts", "others.length === 0 || type", "others.length > 0 || type"),
  mutant(
    ["shapes"],
    "xml/disks.ts",
    'if (find(disk, "shareable") !== undefined) {',
    'if (find(disk, "sharable") !== undefined) {',
  ),
  mutant(
    ["shapes"],
    "lifecycle/adoptable.ts",
    "whyLeft(disk, { excluded: exclude })",
    "whyLeft(disk, { excluded: [] })",
  ),
  mutant(
    ["refused"],
    "lifecycle/adoptable.ts",
    "await standsOn(dev, file, formatOfDisk(disk))",
    "dev === file",
  ),
  // Disks that other hands attach.
  mutant(
    ["attached"],
    "snapshots/coverable.ts",
    "found.push(...(own === undefined ? [] : [own]));",
    "found.push();",
  ),
  mutant(
    ["attached"],
    "snapshots/coverable.ts",
    'return file !== "" && own.some((each) => each.target === target && each.file === file);',
    "return own.some((each) => each.target === target);",
  ),
  mutant(["attached"], "snapshots/restore.ts", "await requireSameDisks(managed);", ""),
  mutant(["attached"], "snapshots/take.ts", "await requireSameDisks(managed);", ""),
  mutant(
    ["attached"],
    "lifecycle/disks.ts",
    "filter(({ target }) => target !== name);\n  putMetadata",
    "filter(({ target }) => target === name);\n  putMetadata",
  ),
  mutant(["attached"], "snapshots/restore.ts", "...ownOf(managed.metadata, then),", ""),
  // Giving back.
  mutant(["kinds"], "lifecycle/releasable.ts", "if (needed > size &&", "if (needed < size &&"),
  mutant(["adoption"], "storage/disk-users.ts", 'if (format === "raw") {', 'if (format !== "raw") {'),
  mutant(
    ["kinds"],
    "lifecycle/resize.ts",
    'if (file.startsWith("/dev/")) {',
    'if (file.startsWith("/dev/mapper/")) {',
  ),
  mutant(
    ["kinds"],
    "audit/layer-health.ts",
    'filter((path) => formatOf(path) === "qcow2")',
    'filter((path) => path !== "")',
  ),
];
