/** Units that a guest of a fixed image does not need; each of them takes time at boot or later. */
const QUIET = [
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "fstrim.timer",
  "getty@tty1.service",
  "cloud-init-hotplugd.socket",
];

/** Links by path in the guest that prevent systemd from starting these units, and further ones. */
export function quietUnits(...further: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...QUIET, ...further].map((unit) => [`etc/systemd/system/${unit}`, "/dev/null"]),
  );
}
