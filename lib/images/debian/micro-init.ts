/**
 * How the micro guest starts and stops. Its scripts run in busybox's shell with its built-in tools: under
 * emulation, every program that does not have to be started saves time.
 */

/**
 * First process of the initial RAM disk: loads the drivers of a disk (SCSI only if there is no other) and
 * switches to the root.
 */
export const INITRD_INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs d /dev; $b mount -t proc p /proc; $b mount -t sysfs s /sys
while read m; do $b insmod /$m; done < /order
[ -b /dev/vda ] || while read m; do $b insmod /$m; done < /order-scsi
i=0; until [ -b /dev/vda1 ] || [ -b /dev/sda1 ] || [ $i = 200 ]; do $b usleep 20000; i=$((i+1)); done
root=/dev/vda1; [ -b $root ] || root=/dev/sda1
$b mount -t ext4 -o noatime,errors=remount-ro $root /root || exec $b sh
for x in dev proc sys; do $b mount -o move /$x /root/$x; done
exec $b switch_root /root /sbin/init
`;

/** In loading order, by the names of the lists that the script reads. */
export const INITRD_DRIVERS = {
  order: ["virtio_pci", "virtio_blk"],
  "order-scsi": ["virtio_scsi", "sd_mod"],
} as const;

export const INITTAB = `::sysinit:/usr/local/sbin/guest-boot
::once:/usr/local/sbin/guest-late
::respawn:/usr/sbin/dropbear -F -E -s -w -W 1048576 -r /etc/dropbear/host_ed25519
::respawn:/usr/local/sbin/guest-agent
ttyS0::respawn:/bin/busybox getty -L ttyS0 115200 vt100
::ctrlaltdel:/usr/sbin/reboot
::shutdown:/usr/local/sbin/guest-halt
`;

/** Runs before logins are possible: devices, the power button, the seed, identity, network. */
export const GUEST_BOOT = `#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -o remount,rw /
# What it marks is the end of this boot, not of an earlier one.
rm -f /var/lib/cloud/instance/boot-finished
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 d /dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev t /dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev t /run
mkdir -m 1777 /run/lock
ln -sf /proc/self/fd /dev/fd; ln -sf fd/0 /dev/stdin; ln -sf fd/1 /dev/stdout; ln -sf fd/2 /dev/stderr
modprobe -a button evdev virtio_net virtio_console virtio_rng isofs virtiofs 2>/dev/null
[ ! -b /dev/sda ] || modprobe sr_mod
acpid -l /dev/null -p /run/acpid.pid
mkdir -p /dev/virtio-ports
for p in /sys/class/virtio-ports/*; do
  [ -e $p/name ] && read name < $p/name && ln -sf /dev/\${p##*/} /dev/virtio-ports/$name
done

mkdir -m 700 /run/seed /run/seed-disk
seed=$(/sbin/blkid -c /dev/null -l -t LABEL=cidata -o device || /sbin/blkid -c /dev/null -l -t LABEL=CIDATA -o device)
if [ -n "$seed" ] && mount -o ro $seed /run/seed-disk; then
  # Its files may hold secrets, and the file system shows them to everybody.
  for f in meta-data user-data vendor-data network-config; do [ -e /run/seed-disk/$f ] && cat /run/seed-disk/$f > /run/seed/$f; done
  umount /run/seed-disk
fi
id=$(sed -n 's/^instance-id: *//p' /run/seed/meta-data 2>/dev/null | tr -d "\\"'\\r")
if [ "$id" != "$(cat /var/lib/guest-instance 2>/dev/null)" ]; then
  # Another instance than at the last boot: a clone, or the first boot of all.
  rm -rf /etc/dropbear/host_ed25519 /var/lib/guest-configured
  tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id.new && mv /etc/machine-id.new /etc/machine-id
  python3 /usr/local/lib/nocloud.py identity
  sync
  echo "$id" > /var/lib/guest-instance
fi
mkdir -p /etc/dropbear
[ -s /etc/dropbear/host_ed25519 ] || { rm -f /etc/dropbear/host_ed25519; dropbearkey -t ed25519 -f /etc/dropbear/host_ed25519 >/dev/null 2>&1; }
hostname -F /etc/hostname
sync

# Its DHCP client asks for the first interface's address now, and for further ones' beside the boot.
ip link set lo up
metric=100
for i in $(ls /sys/class/net); do
  [ $i = lo ] && continue
  ip link set $i up
  # Those that the seed leaves to the user are up, and no more.
  read mac < /sys/class/net/$i/address
  grep -qis "$mac"'.*"dhcp4":false' /run/seed/network-config && continue
  set -- udhcpc -i $i -b -t 5 -T 1 -x hostname:$(hostname) -s /usr/local/sbin/guest-dhcp
  if [ $metric = 100 ]; then METRIC=$metric "$@" >/dev/null 2>&1; else METRIC=$metric "$@" >/dev/null 2>&1 & fi
  metric=$((metric + 100))
done
`;

/** Called by the DHCP client. The first interface has the lowest metric and alone names the resolvers. */
export const GUEST_DHCP = `#!/bin/busybox sh
case $1 in bound|renew) ;; *) exit 0;; esac
# An address that is taken away and given back would cut connections: a renewal leaves it alone.
if ! ip -4 addr show dev $interface | grep -q " $ip/$mask "; then
  ip -4 addr flush dev $interface
  ip addr add $ip/$mask dev $interface
fi
[ -n "$router" ] && ip route replace default via \${router%% *} dev $interface metric \${METRIC:-100}
[ "\${METRIC:-100}" = 100 ] || exit 0
{ [ -n "$domain" ] && echo "search $domain"; for n in $dns; do echo "nameserver $n"; done; } > /run/resolv.conf
cat /run/resolv.conf > /etc/resolv.conf
`;

/** Without the agent's channel, init would restart the agent again and again. */
export const GUEST_AGENT = `#!/bin/busybox sh
port=/dev/virtio-ports/org.qemu.guest_agent.0
[ -e $port ] || exec sleep infinity
exec /usr/sbin/qemu-ga -m virtio-serial -p $port
`;

/** The slower part: grows the root, applies the user's cloud-config, and marks the boot as finished. */
export const GUEST_LATE = `#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
disk=vda; [ -b /dev/vda1 ] || disk=sda
at=/sys/class/block/$disk
read room < $at/size; read start < $at/\${disk}1/start; read size < $at/\${disk}1/size
# Left to grow by an earlier boot that was cut off, too: the file system tells for itself.
if [ $((room - start - size)) -gt 2048 ]; then
  echo ', +' | /sbin/sfdisk -q -N1 --no-reread --force /dev/$disk >/dev/null 2>&1
  partx -u -n1 /dev/$disk
fi
/sbin/resize2fs /dev/\${disk}1 >/dev/null 2>&1
/bin/mount -a
if [ ! -e /var/lib/guest-configured ]; then
  python3 /usr/local/lib/nocloud.py modules && { sync; : > /var/lib/guest-configured; }
elif grep -qs '^bootcmd:' /run/seed/*-data; then
  python3 /usr/local/lib/nocloud.py boot
fi
mkdir -p /run/cloud-init /var/lib/cloud/instance
date > /var/lib/cloud/instance/boot-finished
cd /run/cloud-init
[ -e errors.json ] || echo '{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}' > errors.json
mv errors.json result.json
sync
`;

/**
 * The last step of init. Data is on the disk and the file systems are unmounted before the power goes off,
 * without the pauses of init's own procedure.
 */
export const GUEST_HALT = `#!/bin/busybox sh
verb=$(cat /run/guest-power 2>/dev/null)
# Interactive shells end at HUP only.
kill -TERM -1; kill -HUP -1; kill -CONT -1
others() { for p in /proc/[0-9]*; do n=\${p#/proc/}; [ $n -le 1 ] || [ $n = $$ ] && continue; c=; read -r c < $p/cmdline; [ -n "$c" ] && return 0; done 2>/dev/null; return 1; }
i=0; while others && [ $i -lt 20 ]; do usleep 100000; i=$((i+1)); done
kill -KILL -1
sync
mount -o remount,ro / 2>/dev/null
umount -a -r 2>/dev/null
sync
case $verb in poweroff|reboot|halt) $verb -f;; esac
`;

/** poweroff, reboot, halt and shutdown, depending on the name it is called by. */
export const GUEST_POWER = `#!/bin/busybox sh
verb=\${0##*/} minutes=0 message=
warn() { for t in /dev/pts/[0-9]*; do [ -c $t ] && printf '\\r\\n%s\\r\\n' "$*" > $t; done 2>/dev/null; return 0; }
[ $(id -u) = 0 ] || { echo "$verb: only root may do that" >&2; exit 1; }
if [ $verb = shutdown ]; then
  verb=poweroff
  for a; do
    case $a in
      -c) [ -e /run/shutdown.pid ] && kill $(cat /run/shutdown.pid) && rm /run/shutdown.pid && warn "The shutdown has been cancelled."; exit 0;;
      -r|--reboot) verb=reboot;;
      -H|--halt) verb=halt;;
      +[0-9]*) minutes=\${a#+};;
      -*|now) ;;
      *) message=$a;;
    esac
  done
else
  case " $* " in *" -f "*|*" --force "*) exec /bin/busybox $verb -f;; esac
fi
if [ $minutes -gt 0 ]; then
  [ -e /run/shutdown.pid ] && kill $(cat /run/shutdown.pid) 2>/dev/null
  { sleep $((minutes * 60)); echo $verb > /run/guest-power; exec /bin/busybox $verb; } </dev/null >/dev/null 2>&1 &
  echo $! > /run/shutdown.pid
  warn "The system will $verb in $minutes minutes! $message"
  exit
fi
echo $verb > /run/guest-power
exec /bin/busybox $verb
`;
