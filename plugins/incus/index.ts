import { INCUS } from "../lxd/flavour.ts";
import { serverPlugin } from "../lxd/plugin.ts";

/** Incus has LXD's API, and one engine serves both. */
export default serverPlugin(INCUS);
