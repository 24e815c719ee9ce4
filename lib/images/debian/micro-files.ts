/** Files of the micro guest: Debian's userland and kernel, busybox as init, a small NoCloud reader. */

export const MICRO_PACKAGES = [
  "linux-image-cloud-amd64",
  "busybox-static",
  "openssh-sftp-server",
  "dropbear-bin",
  "qemu-guest-agent",
  "sudo",
  "iproute2",
  "netbase",
  "fdisk",
  "kmod",
  "procps",
  "python3-minimal",
  "python3-yaml",
];

/** First process of the initial RAM disk: two drivers, then the root. */
export const INITRD_INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs d /dev; $b mount -t proc p /proc; $b mount -t sysfs s /sys
while read m; do $b insmod /$m; done < /order
i=0; while [ ! -b /dev/vda1 ] && [ $i -lt 200 ]; do $b usleep 20000; i=$((i+1)); done
$b mount -t ext4 -o noatime /dev/vda1 /root || exec $b sh
for x in dev proc sys; do $b mount -o move /$x /root/$x; done
exec $b switch_root /root /sbin/init
`;

const INITTAB = `::sysinit:/usr/local/sbin/guest-boot
::respawn:/usr/sbin/dropbear -F -E -s -w -r /etc/dropbear/host_ed25519
::respawn:/usr/sbin/qemu-ga -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0
::once:/usr/local/sbin/guest-late
ttyS0::respawn:/bin/busybox getty -L ttyS0 115200 vt100
::shutdown:/bin/busybox sync
::shutdown:/bin/umount -a -r
`;

/** Before anything else: devices, network, identity. */
const GUEST_BOOT = `#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -o remount,rw /; rm -f /var/lib/cloud/instance/boot-finished
mkdir -p /dev/pts /dev/shm; mount -t devpts d /dev/pts; mount -t tmpfs t /run; mount -t tmpfs t /dev/shm; mkdir -p /run/lock
modprobe -a virtio_net virtio_console isofs virtio_rng 2>/dev/null
mkdir -p /dev/virtio-ports
for p in /sys/class/virtio-ports/*; do [ -e $p/name ] && ln -sf /dev/\${p##*/} /dev/virtio-ports/$(cat $p/name); done
busybox ip link set lo up
I=$(busybox ls /sys/class/net | busybox grep -v -m1 '^lo$'); busybox ip link set $I up
mkdir -p /run/seed
for d in $(busybox ls /dev/vd? /dev/sr? /dev/sd? 2>/dev/null); do
  [ $d = /dev/vda ] && continue
  busybox mount -o ro $d /run/seed 2>/dev/null && [ -e /run/seed/meta-data ] && break
  busybox umount /run/seed 2>/dev/null
done
id=$(sed -n 's/^instance-id: *//p' /run/seed/meta-data 2>/dev/null | tr -d "\\"'")
h=$(cat /run/seed/user-data /run/seed/vendor-data /run/seed/meta-data 2>/dev/null | sed -n 's/^\\(local-\\)\\{0,1\\}hostname: *//p' | sed -n 1p | tr -d "\\"'")
[ -n "$h" ] && echo $h > /etc/hostname
hostname -F /etc/hostname; printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n' "$(cat /etc/hostname)" > /etc/hosts
if [ "$id" != "$(cat /var/lib/guest-instance 2>/dev/null)" ]; then
  mkdir -p /home/ubuntu/.ssh
  cat /run/seed/vendor-data /run/seed/user-data 2>/dev/null | busybox grep -oE '(ssh-(ed25519|rsa)|ecdsa-sha2-[a-z0-9]+) [A-Za-z0-9+/=]+' > /home/ubuntu/.ssh/authorized_keys
  chmod 700 /home/ubuntu /home/ubuntu/.ssh; chmod 600 /home/ubuntu/.ssh/authorized_keys; chown -R ubuntu:ubuntu /home/ubuntu
  rm -f /etc/dropbear/host_ed25519; tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
  touch /run/new-instance; echo "$id" > /var/lib/guest-instance
fi
mkdir -p /etc/dropbear; [ -e /etc/dropbear/host_ed25519 ] || dropbearkey -t ed25519 -f /etc/dropbear/host_ed25519 >/dev/null 2>&1
busybox udhcpc -i $I -b -t 5 -T 1 -S -x hostname:$(cat /etc/hostname) -s /usr/local/sbin/dhcp >/dev/null 2>&1
busybox sync
`;

const DHCP = `#!/bin/busybox sh
case $1 in bound|renew)
  busybox ip addr flush dev $interface; busybox ip addr add $ip/$mask dev $interface
  [ -n "$router" ] && busybox ip route replace default via \${router%% *} dev $interface
  : > /etc/resolv.conf; for n in $dns; do echo "nameserver $n" >> /etc/resolv.conf; done;;
esac
`;

/** The slower part: power button, growing the root, user-data, and the mark that the boot is finished. */
const GUEST_LATE = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
modprobe -a button evdev virtiofs 2>/dev/null
( busybox cat /dev/input/event* 2>/dev/null | busybox dd bs=24 count=1 of=/dev/null 2>/dev/null && busybox poweroff ) &
echo ', +' | sfdisk -q -N1 --no-reread --force /dev/vda >/dev/null 2>&1; partx -u -n1 /dev/vda; resize2fs /dev/vda1 >/dev/null 2>&1
mount -t virtiofs -a 2>/dev/null
[ -e /run/new-instance ] && python3 /usr/local/lib/nocloud.py
mkdir -p /run/cloud-init /var/lib/cloud/instance; date > /var/lib/cloud/instance/boot-finished; echo '{}' > /run/cloud-init/result.json
sync
`;

/** Vendor-data first, then the user's, as cloud-init does. */
const NOCLOUD = `import base64,os,subprocess,yaml
def script(t):
    open('/run/script','w').write(t);os.chmod('/run/script',0o755);subprocess.call(['/run/script'])
def apply(c):
    for f in c.get('write_files') or []:
        d=f.get('content','');d=base64.b64decode(d) if f.get('encoding') in('b64','base64') else d.encode()
        os.makedirs(os.path.dirname(f['path']),exist_ok=True)
        with open(f['path'],'ab' if f.get('append') else 'wb') as o:o.write(d)
        if 'permissions' in f:os.chmod(f['path'],int(str(f['permissions']),8))
        if 'owner' in f:subprocess.call(['chown',f['owner'],f['path']])
    for m in c.get('mounts') or []:
        os.makedirs(m[1],exist_ok=True)
        open('/etc/fstab','a').write(' '.join(map(str,(list(m)+['auto','defaults','0','0'][len(m)-2:])[:6]))+'\\n')
        subprocess.call(['mount',m[1]])
    if c.get('packages'):subprocess.call(['sh','-c','apt-get update -q; exec apt-get install -qy "$@"','sh',*map(str,c['packages'])])
    for r in (c.get('bootcmd') or [])+(c.get('runcmd') or []):subprocess.call(r,shell=isinstance(r,str))
for name in ('vendor-data','user-data'):
    try:t=open('/run/seed/'+name).read()
    except FileNotFoundError:continue
    if t.startswith('#!'):script(t)
    else:
        c=yaml.load(t,Loader=getattr(yaml,'CSafeLoader',yaml.SafeLoader))
        if isinstance(c,dict):apply(c)
`;

const SHUTDOWN = `#!/bin/sh
case " $* " in *" -r "*) exec reboot;; *) exec poweroff;; esac
`;

/** Files by path in the guest, with their modes. */
export const MICRO_FILES: Readonly<Record<string, readonly [mode: number, text: string]>> = {
  "etc/inittab": [0o644, INITTAB],
  "etc/fstab": [0o644, "/dev/vda1 / ext4 rw,noatime 0 1\n"],
  "etc/hostname": [0o644, "guest\n"],
  "etc/machine-id": [0o444, ""],
  "etc/sudoers.d/90-ubuntu": [0o440, "ubuntu ALL=(ALL) NOPASSWD:ALL\n"],
  "usr/local/sbin/guest-boot": [0o755, GUEST_BOOT],
  "usr/local/sbin/guest-late": [0o755, GUEST_LATE],
  "usr/local/sbin/dhcp": [0o755, DHCP],
  "usr/local/lib/nocloud.py": [0o644, NOCLOUD],
  "usr/sbin/shutdown": [0o755, SHUTDOWN],
};

/** Links by path in the guest. */
export const MICRO_LINKS: Readonly<Record<string, string>> = {
  "usr/sbin/init": "/bin/busybox",
  "usr/sbin/poweroff": "/bin/busybox",
  "usr/sbin/reboot": "/bin/busybox",
  "usr/sbin/halt": "/bin/busybox",
};
