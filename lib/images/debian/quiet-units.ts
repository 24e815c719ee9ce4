/** Units that no guest of a fixed image needs: each costs it time at its boot or later. */
const QUIET = [
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "fstrim.timer",
  "getty@tty1.service",
  "cloud-init-hotplugd.socket",
];

/** Links by path in the guest that keep systemd from starting them, and further ones. */
export function quietUnits(...further: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...QUIET, ...further].map((unit) => [`etc/systemd/system/${unit}`, "/dev/null"]),
  );
}
