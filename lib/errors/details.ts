/** What fills a placeholder of a message or a hint; a bigint is a size in bytes. */
export type ErrorDetail = string | number | bigint | boolean;
export type ErrorDetails = Readonly<Record<string, ErrorDetail>>;

/** Details of these names. */
export type Details<Name extends string> = { readonly [Key in Name]: ErrorDetail };

/** The words in braces of a text. */
export type Placeholder<Text extends string> = string extends Text
  ? "a text must be one literal, not several joined"
  : Text extends `${string}{${infer Name}}${infer Rest}`
    ? Name | Placeholder<Rest>
    : never;

/**
 * The details that an error of a row has: all that its message and its hint name. Where the hint is a function, what
 * it takes; what that can do without may be missing.
 */
export type RowDetails<Row extends { readonly message: string }> = Flat<
  Details<Placeholder<Row["message"]> | Exclude<NameOf<HintDetails<Row>>, OptionalNameOf<HintDetails<Row>>>> &
    Partial<Details<OptionalNameOf<HintDetails<Row>>>>
>;

type HintDetails<Row> = Row extends { readonly hint: infer Hint }
  ? Hint extends string
    ? Details<Placeholder<Hint>>
    : Hint extends (details: infer Taken) => unknown
      ? Taken
      : never
  : never;

type NameOf<Taken> = Taken extends unknown ? Extract<keyof Taken, string> : never;

type OptionalNameOf<Taken> = Taken extends unknown
  ? {
      [Name in NameOf<Taken>]: Partial<Pick<Taken, Name>> extends Pick<Taken, Name> ? Name : never;
    }[NameOf<Taken>]
  : never;

type Flat<Type> = { [Name in keyof Type]: Type[Name] };
