const ON: readonly string[] = ["true", "on", "yes", "1"];
const OFF: readonly string[] = ["false", "off", "no", "0"];

/** What is wanted of a setting that is either on or off. */
export const SWITCH_FORM = "must be true or false, or on, off, yes, no, 1 or 0";

/** Reads a setting that is on or off; undefined for any other value. */
export function readSwitch(text: string): boolean | undefined {
  const value = text.toLowerCase();
  if (ON.includes(value)) {
    return true;
  }
  return OFF.includes(value) ? false : undefined;
}
