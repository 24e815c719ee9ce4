import { join } from "node:path";
import type { Managed } from "../engine.ts";
import { MEMORY_NAME } from "../memory/files.ts";
import { type RecordCopy, readCopy } from "../snapshots/record-copies.ts";
import type { InstanceFinding } from "./records.ts";

/** The memory of snapshots that is not there, and that of none. */
export async function findMemory(
  { metadata }: Pick<Managed, "metadata">,
  files: readonly string[],
  records: readonly { readonly name: string; readonly xml: string }[],
  copies: readonly Pick<RecordCopy, "path">[],
): Promise<InstanceFinding[]> {
  const { folder } = metadata;
  const missing = records.flatMap(({ name, xml }): InstanceFinding[] => {
    const file = namedIn(xml, folder);
    return file === undefined || files.includes(file)
      ? []
      : [
          {
            kind: "memory-missing",
            subject: join(folder, file),
            detail: `the memory of snapshot "${name}" does not exist; its disks can be restored with --disk-only`,
          },
        ];
  });
  const left = await unnamed(
    files.filter((file) => MEMORY_NAME.test(file)),
    records,
    copies,
  );
  return [
    ...missing,
    ...left.map((file) => ({
      kind: "memory-left",
      subject: join(folder, file),
      detail: `no snapshot has the memory in ${join(folder, file)}`,
      repair: "remove it",
    })),
  ];
}

/** The file in the folder that a record names as its memory. */
function namedIn(xml: string, folder: string): string | undefined {
  const path = /<memory snapshot='external' file='([^'&]+)'/.exec(xml)?.[1];
  const file = path?.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
  return file !== undefined && MEMORY_NAME.test(file) ? file : undefined;
}

/** Those that neither a record nor a copy of one names; none while one cannot be read. */
async function unnamed(
  files: readonly string[],
  records: readonly { readonly xml: string }[],
  copies: readonly Pick<RecordCopy, "path">[],
): Promise<readonly string[]> {
  const candidates = files.filter((file) => !records.some(({ xml }) => xml.includes(file)));
  if (candidates.length === 0) {
    return [];
  }
  const texts = await Promise.all(copies.map(({ path }) => readCopy(path).catch(() => undefined)));
  if (texts.includes(undefined)) {
    return [];
  }
  return candidates.filter((file) => !texts.some((text) => text?.includes(file)));
}
