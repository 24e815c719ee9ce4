import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { lockFile } from "../../lib/util/file-lock.ts";

export const PROGRAM = fileURLToPath(new URL("../../dist/bin/strata.js", import.meta.url));

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built program as a user would, and waits for its end. */
export async function strata(
  args: readonly string[],
  o: { readonly env?: Record<string, string>; readonly input?: string; readonly cwd?: string } = {},
): Promise<Ended> {
  const result = await execa(process.execPath, [PROGRAM, ...args], {
    reject: false,
    stripFinalNewline: false,
    ...(o.env === undefined ? {} : { env: o.env }),
    ...(o.cwd === undefined ? {} : { cwd: o.cwd }),
    ...(o.input === undefined ? { stdin: "ignore" as const } : { input: o.input }),
  });
  return { code: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
}

/** The same for what must succeed; resolves to its standard output. */
export async function done(args: readonly string[], o: Parameters<typeof strata>[1] = {}): Promise<string> {
  const { code, stdout, stderr } = await strata(args, o);
  if (code !== 0) {
    throw new Error(`strata ${args.join(" ")} ended with ${code}: ${stderr}`);
  }
  return stdout;
}

/** Has a guest's image of the present recipe, building it if this host has none yet; resolves to its file. */
export async function guestImage(
  variant: "micro" | "cloud" = "micro",
): Promise<{ sha256: string; path: string }> {
  const find = async () => {
    const { images } = JSON.parse(await done(["image", "list", "--format", "json"])) as {
      images: { sha256: string; aliases: string[]; outdated: boolean }[];
    };
    // The newest of its name, which is what a launch takes.
    const image = images.find(({ aliases }) => aliases.includes(`debian-${variant}`));
    return image?.outdated === false ? image : undefined;
  };
  const build = async () => {
    const lock = join(tmpdir(), "strata-test-image.lock");
    await using _lock = await lockFile(lock, { name: lock, wait: Infinity });
    // Other tests may have built it meanwhile.
    if ((await find()) === undefined) {
      await done(["image", "build", "debian", "--variant", variant]);
    }
    const built = await find();
    if (built === undefined) {
      throw new Error("the image was built and is not listed");
    }
    return built;
  };
  const image = (await find()) ?? (await build());
  const cache = process.env.XDG_CACHE_HOME ?? `${process.env.HOME}/.cache`;
  return { sha256: image.sha256, path: `${cache}/strata/images/${image.sha256}.qcow2` };
}
