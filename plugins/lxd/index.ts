import { LXD } from "./flavour.ts";
import { serverPlugin } from "./plugin.ts";

export default serverPlugin(LXD);
