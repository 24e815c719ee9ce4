import { withoutLogin } from "../util/trace.ts";

/** In the place of what is not logged. */
const HIDDEN = "…";
/** Longest word that is logged whole, characters. */
const LONGEST = 200;
/** Settings whose values are no secret. Any other may be one. */
const OPEN_SETTING = /^(client\.primary-name|local\.driver|local\..*\.(cpus|memory|disk|bridged|autostart))$/;
const SECRET_OPTION = /^--[a-z-]*(pass|secret|token|key|credential)[a-z-]*$/;

/**
 * A command line as it may be logged: who runs a command in a guest, sets a setting or gives a URL may
 * have typed a secret. `words` begin with the command.
 */
export function loggable(words: readonly string[]): string[] {
  const [name = "", ...rest] = words;
  return [name, ...withoutSecrets(name, rest)].map((word) => {
    const bare = withoutLogin(word);
    return bare.length > LONGEST ? `${bare.slice(0, LONGEST)}${HIDDEN}` : bare;
  });
}

function withoutSecrets(name: string, words: readonly string[]): readonly string[] {
  if (["authenticate", "auth"].includes(name)) {
    return words.map(() => HIDDEN);
  }
  if (name === "set") {
    return words.map((word) => (OPEN_SETTING.test(word.split("=")[0] ?? "") ? word : withoutValue(word)));
  }
  if (name !== "exec") {
    return words.map((word, at) => {
      if (SECRET_OPTION.test(word.split("=")[0] ?? "")) {
        return withoutValue(word);
      }
      return SECRET_OPTION.test(words[at - 1] ?? "") ? HIDDEN : word;
    });
  }
  const end = words.indexOf("--");
  // Without the mark nobody but the parser knows where the command begins.
  return end === -1 ? [HIDDEN] : [...words.slice(0, end).map(withoutValue), "--", HIDDEN];
}

/** What stands before the first `=`. */
function withoutValue(word: string): string {
  const at = word.indexOf("=");
  return at === -1 ? word : `${word.slice(0, at + 1)}${HIDDEN}`;
}
