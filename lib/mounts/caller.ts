/**
 * Ids of the caller or, under sudo, of the user who called it: that user's folder is mounted, and by default
 * that user's files belong to the guest's default user.
 */
export function callerIds(): { readonly uid: number; readonly gid: number } {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const { SUDO_UID, SUDO_GID } = process.env;
  return uid === 0 && /^\d+$/.test(SUDO_UID ?? "") && /^\d+$/.test(SUDO_GID ?? "")
    ? { uid: Number(SUDO_UID), gid: Number(SUDO_GID) }
    : { uid, gid };
}
