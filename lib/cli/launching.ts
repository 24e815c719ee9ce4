import type { LaunchOptions, Strata } from "../core/api/strata.ts";
import { asStrataError, type StrataError } from "../errors.ts";
import type { Cli } from "./cli.ts";
import { canAsk, confirm } from "./io.ts";

type Variant = "cloud" | "micro" | "container";
const VARIANTS: readonly Variant[] = ["cloud", "micro", "container"];

/**
 * Launches an instance. If its image must be built first, that is done with `build`, or offered on a terminal;
 * otherwise the error says how.
 */
export async function launchOrBuild(
  cli: Cli,
  strata: Strata,
  request: LaunchOptions,
  { build = false }: { readonly build?: boolean } = {},
): Promise<{ readonly name: string }> {
  try {
    return await strata.instances.launch({ ...request, ...cli.call });
  } catch (thrown) {
    const error = asStrataError(thrown);
    const variant = variantToBuild(error);
    cli.progress.clear();
    if (variant === undefined || !(build || (await isWanted(cli, error, variant)))) {
      throw error;
    }
    const { aliases } = await strata.images.build({ distribution: "debian", variant, ...cli.call });
    const image = error.code === "NO_IMAGE" ? (aliases[0] ?? request.image) : request.image;
    return await strata.instances.launch({ ...request, image, ...cli.call });
  }
}

/** The variant of the image that a launch needs; undefined for any other failure. */
function variantToBuild({ code, details }: StrataError): Variant | undefined {
  return code === "NO_IMAGE" || code === "IMAGE_NOT_BUILT"
    ? VARIANTS.find((each) => each === details.variant)
    : undefined;
}

async function isWanted(cli: Cli, { message }: StrataError, variant: Variant): Promise<boolean> {
  if (!canAsk(cli.io)) {
    return false;
  }
  const sentence = message.charAt(0).toUpperCase() + message.slice(1);
  return confirm(
    cli,
    `${sentence}. Build the ${variant} image of Debian now, which takes minutes? (Yes/no)`,
    true,
  );
}
