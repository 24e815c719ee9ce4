/**
 * A word as a shell reads it back unchanged: POSIX shells, and fish, which knows backslashes between quotes. So these
 * and quotes stand outside.
 */
export function quote(word: string): string {
  return /^[A-Za-z0-9_/:=.,@%+-]+$/.test(word)
    ? word
    : `'${word.replace(/['\\]/g, (found) => `'\\${found}'`)}'`;
}
