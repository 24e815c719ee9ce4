/**
 * The scripts that run in a guest during a transfer, with `sh -c`. They need only a POSIX shell and tar
 * (GNU's or busybox's). Paths are arguments, so nothing in them is expanded; relative ones are below the
 * user's home. The exit codes are ours; the shell, tar and signals use none of them.
 */
export const STATUS = {
  missing: 80,
  unreadable: 81,
  folder: 82,
  special: 83,
  noFolder: 84,
  noParent: 85,
  unwritable: 86,
  incomplete: 87,
  clash: 88,
  noTar: 89,
} as const;

/**
 * Changes relative paths, including those that begin with a dash, so that no program takes them for an
 * option.
 */
const PROLOGUE = `cd || exit
command -v tar >/dev/null || exit ${STATUS.noTar}
case $1 in /*) p=$1 ;; *) p=./$1 ;; esac
`;

/** What a guest says whose tar understands a file with holes, before it reads what it is sent. */
export const HOLES = "holes";

/** True in a guest with GNU's tar, which keeps holes. */
const IS_GNU = `[ "$(tar --version 2>/dev/null | sed -n 's/.*GNU.*/GNU/p;q')" = GNU ]`;

/** Arguments: PATH, "recursive" or "". Writes an archive of a folder's contents, or of one file. */
export const SEND = `${PROLOGUE}[ -e "$p" ] || exit ${STATUS.missing}
[ -r "$p" ] || exit ${STATUS.unreadable}
${IS_GNU} && gnu="--hard-dereference --sparse --format=posix"
if [ -d "$p" ]; then
  [ "$2" = recursive ] || exit ${STATUS.folder}
  exec tar $gnu -c -f - -C "$p" .
fi
[ -f "$p" ] || exit ${STATUS.special}
[ -L "$p" ] && p=$(readlink -f "$p")
exec tar $gnu -c -f - -C "\${p%/*}/" "./\${p##*/}"
`;

/**
 * Arguments: PATH, NAME (its name in a folder), "folder" (PATH must be one) or "", "parents" or "", TOKEN or
 * "". Reads an archive with "tree", and "done" as its last entry; without that, the sender died. With a
 * token, the archive is a stream in pieces that ends with the token.
 *
 * It is unpacked beside its destination and moved there when it is complete.
 */
export const RECEIVE = `${PROLOGUE}
if ${IS_GNU}; then echo ${HOLES}; else echo plain; fi
if [ "$4" = parents ]; then
  if [ "$3" = folder ]; then mkdir -p "$p"; else mkdir -p "\${p%/*}"; fi || exit ${STATUS.unwritable}
fi
if [ -d "$p" ]; then
  p=$p/$2
else
  [ "$3" = folder ] && exit ${STATUS.noFolder}
  [ -L "$p" ] && p=$(readlink -f "$p")
fi
[ -d "\${p%/*}/" ] || exit ${STATUS.noParent}
stage=$(mktemp -d "\${p%/*}/.strata-XXXXXX") || exit ${STATUS.unwritable}
trap 'chmod -R u+rwx "$stage" 2>/dev/null; rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT PIPE TERM

if [ -n "$5" ]; then
  tar -x -O -f - > "$stage/tree" || exit ${STATUS.incomplete}
  [ "$(tail -c \${#5} "$stage/tree")" = "$5" ] || exit ${STATUS.incomplete}
  truncate -s $(($(wc -c < "$stage/tree") - \${#5})) "$stage/tree" || exit ${STATUS.incomplete}
else
  tar -x -o -p -f - -C "$stage" || exit ${STATUS.incomplete}
  [ -e "$stage/done" ] || exit ${STATUS.incomplete}
fi

clash() { echo "$1" >&2; exit ${STATUS.clash}; }
place() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    if [ -d "$2" ]; then
      for each in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -e "$each" ] || [ -L "$each" ]; then place "$each" "\${2%/}/\${each##*/}"; fi
      done
      return
    fi
    if [ -e "$2" ] || [ -L "$2" ]; then clash "$2"; fi
    if [ ! -w "$1" ]; then
      chmod u+w "$1"
      mv -T "$1" "$2" || exit ${STATUS.unwritable}
      chmod u-w "$2"
      return
    fi
  elif [ -e "$2" ] && [ ! -L "$2" ] && [ ! -f "$2" ]; then
    clash "$2"
  fi
  mv -f -T "$1" "$2" || exit ${STATUS.unwritable}
}
place "$stage/tree" "$p"
`;

/**
 * Arguments: PATTERN. Writes the paths that it stands for, each with a zero behind it; one that is there as it is
 * written stands for itself.
 */
export const EXPAND = `cd || exit
if [ -e "$1" ] || [ -L "$1" ]; then printf '%s\\0' "$1"; exit; fi
IFS=
for each in $1; do
  if [ -e "$each" ] || [ -L "$each" ]; then printf '%s\\0' "$each"; fi
done
`;
