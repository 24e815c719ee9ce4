import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { failure } from "../errors.ts";
import { atOwn, makeFolder, readOwn } from "../util/own-files.ts";

/** The settings that a user has set, by key. */
export type SettingValues = Readonly<Record<string, string>>;

/** Reads the file; a missing one has no settings, an invalid one is an error. */
export async function readSettings(path: string): Promise<SettingValues> {
  // Every command reads this small file, and loading `node:fs/promises` would take longer than reading it.
  const text = await readOwn(path, async () => readFileSync(path, "utf8"));
  if (text === undefined) {
    return {};
  }
  const reason = "must be a JSON object of strings; fix or remove the file";
  const details = { what: "the settings file", value: path, reason };
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch (error) {
    throw failure("INVALID_VALUE", details, error);
  }
  if (!isSettingValues(values)) {
    throw failure("INVALID_VALUE", details);
  }
  return values;
}

/** Checked by hand: every command reads the settings, and loading zod takes longer than checking them. */
function isSettingValues(values: unknown): values is SettingValues {
  return (
    typeof values === "object" &&
    values !== null &&
    !Array.isArray(values) &&
    Object.values(values).every((value) => typeof value === "string")
  );
}

/** Writes the file as a whole, readable only by its owner. */
export async function writeSettings(path: string, values: SettingValues): Promise<void> {
  const { default: writeFileAtomic } = await import("write-file-atomic");
  await atOwn(path, async () => {
    await makeFolder(dirname(path));
    await writeFileAtomic(path, `${JSON.stringify(values, null, 2)}\n`, { mode: 0o600 });
  });
}
