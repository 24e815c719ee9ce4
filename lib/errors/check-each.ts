import { asStrataError, failures, type StrataError } from "../errors.ts";
import { EXIT } from "./table.ts";

/** Exit codes of what is wrong with what was asked for; whatever else fails is no matter of one item. */
const ABOUT_ITEMS: readonly number[] = [EXIT.usage, EXIT.notFound, EXIT.exists, EXIT.state];

/** Checks every item, in their order; where some of them are wrong, rejects with all that is. */
export async function checkEach<T, R>(items: Iterable<T>, check: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const errors: StrataError[] = [];
  for (const item of items) {
    try {
      results.push(await check(item));
    } catch (caught) {
      const error = asStrataError(caught);
      if (!ABOUT_ITEMS.includes(error.exitCode)) {
        throw caught;
      }
      errors.push(error);
    }
  }
  if (errors.length > 0) {
    throw failures(errors);
  }
  return results;
}
