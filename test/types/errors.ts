// What the types of errors promise. Checked by `tsc -p .`.
import { expectTypeOf } from "expect-type";
import { type DetailsOf, type ErrorCode, type ErrorDetail, failure } from "../../lib/errors.ts";

const name = "web";

export function details(either: "INSTANCE_NOT_FOUND" | "INSTANCE_EXISTS", any: ErrorCode): void {
  failure("TIMEOUT", { seconds: 5, what: "the guest does not answer" });
  // @ts-expect-error the message has {seconds}, not {secs}
  failure("TIMEOUT", { secs: 5, what: "the guest does not answer" });
  // @ts-expect-error a detail that the message names is missing
  failure("TIMEOUT", { seconds: 5 });
  // @ts-expect-error no text has this detail
  failure("BUSY", { name, reason: "it is locked" });
  // @ts-expect-error a code with details needs them
  failure("BUSY");
  // @ts-expect-error there is no such code
  failure("BUSIER", { name });

  failure("CANCELLED");
  failure("CANCELLED", {}, new Error("stop"));
  // @ts-expect-error its message names nothing
  failure("CANCELLED", { name });

  failure(either, { name });
  // @ts-expect-error what the code needs is not known
  failure(any, { name });
}

export function hints(): void {
  // Placeholders of a hint count, and those of a hint that is a function.
  expectTypeOf<keyof DetailsOf<"IMAGE_HAS_BACKING">>().toEqualTypeOf<"image" | "file" | "format">();
  expectTypeOf<keyof DetailsOf<"FINDING_NOT_FOUND">>().toEqualTypeOf<"subject" | "known">();
  expectTypeOf<keyof DetailsOf<"CANCELLED">>().toEqualTypeOf<never>();
  expectTypeOf<DetailsOf<"INSTANCE_NOT_FOUND">>().toEqualTypeOf<{
    readonly name: ErrorDetail;
    readonly near?: ErrorDetail;
  }>();
  expectTypeOf<DetailsOf<"BUSY">>().toEqualTypeOf<{ readonly name: ErrorDetail }>();
}
