/**
 * Ids of the caller, behind sudo those of whoever called it: what is mounted is that user's folder, and by
 * default that user's files are the guest's default user's.
 */
export function callerIds(): { readonly uid: number; readonly gid: number } {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const { SUDO_UID, SUDO_GID } = process.env;
  return uid === 0 && /^\d+$/.test(SUDO_UID ?? "") && /^\d+$/.test(SUDO_GID ?? "")
    ? { uid: Number(SUDO_UID), gid: Number(SUDO_GID) }
    : { uid, gid };
}
