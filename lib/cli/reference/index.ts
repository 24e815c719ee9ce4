import { VERSION } from "../../version.ts";
import { createCli } from "../cli.ts";
import { processIo } from "../io.ts";
import { createProgram } from "../program.ts";
import { errorsPage } from "./errors.ts";
import { man } from "./man.ts";
import { markdown } from "./markdown.ts";
import { pagesOf } from "./pages.ts";

/** The files in docs/ that are generated from the command tree and the table of errors, by name. */
export function referenceFiles(): Readonly<Record<string, string>> {
  const { cli } = createCli(processIo, new AbortController().signal);
  const pages = pagesOf(createProgram(cli));
  return { "commands.md": markdown(pages), "errors.md": errorsPage(), "strata.1": man(pages, VERSION) };
}
