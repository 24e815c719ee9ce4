import { type Element, element, elements, find, prune } from "./document.ts";

/** Devices that are a serial console; libvirt shows the first serial port a second time as a console. */
const NAMES = ["serial", "console"];

/** A serial port whose output libvirt writes into a file as well. */
export function serialElement(log: string): Element {
  return element("serial", { type: "pty" }, logElement(log));
}

function logElement(file: string): Element {
  return element("log", { file, append: "on" });
}

/** The file that the first serial console is logged to. */
export function readConsoleLog(domain: Element): string | undefined {
  const devices = find(domain, "devices");
  const logs = NAMES.flatMap((name) => elements(devices, name)).map((each) => find(each, "log"));
  return logs.find((log) => log !== undefined)?.attributes.file;
}

/** Has the first serial port logged unless a console is already. True where that changed the document. */
export function logConsole(domain: Element, file: string): boolean {
  const serial = find(domain, "devices", "serial");
  if (serial === undefined || readConsoleLog(domain) !== undefined) {
    return false;
  }
  serial.children.push(logElement(file));
  return true;
}

/** Has no console logged any more. */
export function unlogConsole(domain: Element): void {
  for (const each of elements(find(domain, "devices")).filter(({ name }) => NAMES.includes(name))) {
    prune(each, ({ name }) => name === "log");
  }
}
