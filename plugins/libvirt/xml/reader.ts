// Its parser alone: the rest of xml2js loads a builder that strata does not use.
import { Parser } from "xml2js/lib/parser.js";
import type { Element } from "./document.ts";

/** The parts of sax's parser that building a tree needs. */
interface SaxHandlers {
  onopentag(tag: { readonly name: string; readonly attributes: Readonly<Record<string, string>> }): void;
  onclosetag(): void;
  ontext(text: string): void;
  oncdata(text: string): void;
  ended: boolean;
}

/**
 * xml2js's parser with a tree of strata's own. The one that xml2js builds keeps the order of children in a
 * second copy of each, which takes four times as long: parsing XML was a fifth of a command's time.
 */
class Reader extends Parser {
  declare readonly saxParser: SaxHandlers;

  /** Called by the constructor and after each document. */
  override reset(): void {
    super.reset();
    const open: Element[] = [];
    const onText = (text: string) => void open.at(-1)?.children.push(text);
    Object.assign(this.saxParser, {
      onopentag: ({ name, attributes }) => {
        const element: Element = { name, attributes: { ...attributes }, children: [] };
        open.at(-1)?.children.push(element);
        open.push(element);
      },
      onclosetag: () => {
        const element = open.pop();
        if (element !== undefined) {
          dropLayout(element);
        }
        if (open.length > 0) {
          return;
        }
        this.saxParser.ended = true;
        this.emit("end", element);
      },
      ontext: onText,
      oncdata: onText,
    } satisfies Partial<SaxHandlers>);
  }
}

/** Whitespace between elements is layout: libvirt's documents do not mix text and elements. */
function dropLayout({ children }: Element): void {
  if (!children.some((child) => typeof child !== "string")) {
    return;
  }
  const kept = children.filter((child) => typeof child !== "string" || child.trim() !== "");
  children.splice(0, children.length, ...kept);
}

/** One for all documents, since creating a parser takes as long as reading a small document. */
let reader = new Reader();

/** Parses a document. Rejects with xml2js's error if it is not well formed. */
export async function readDocument(xml: string): Promise<Element> {
  let failed = new Error("an empty XML document");
  let root: Element | undefined;
  // Called before `parseString` returns.
  reader.parseString(xml, (error: Error | null, read?: Element | null) => {
    if (error !== null) {
      failed = error;
    }
    root = read ?? undefined;
  });
  if (root !== undefined) {
    return root;
  }
  // After an error, xml2js marks the parser that it created for the next document as failed, too.
  reader = new Reader();
  throw failed;
}
