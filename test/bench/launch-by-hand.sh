#!/bin/bash
# An instance of an image, as a user would bring it up without strata: until ssh answers and the boot is finished.
#   launch-by-hand.sh NAME FOLDER BASE DOMAIN KEY
# FOLDER holds the files of the seed. DOMAIN is libvirt's XML with NAME, DISK and SEED in it. KEY is a file.
set -e
name=$1 folder=$2 base=$3 domain=$4 key=$5
virsh() { command virsh -q -c qemu:///system "$@"; }
cd "$folder"
qemu-img create -q -f qcow2 -b "$base" -F qcow2 disk.qcow2 5G
genisoimage -quiet -output seed.iso -volid cidata -joliet -rational-rock meta-data user-data vendor-data
sed "s|NAME|$name|; s|DISK|$folder/disk.qcow2|; s|SEED|$folder/seed.iso|" "$domain" >domain.xml
virsh define domain.xml
virsh start "$name"
options=(-i "$key" -o BatchMode=yes -o ConnectTimeout=30 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=QUIET)
until
  address=$(virsh domifaddr "$name" --source lease | sed -n 's|.* ipv4 *\([0-9.]*\)/.*|\1|p') && [ -n "$address" ] &&
    ssh "${options[@]}" "ubuntu@$address" test -e /run/cloud-init/result.json
do sleep 0.3; done
