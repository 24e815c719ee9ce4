#!/bin/bash
# What a user would type, in a script: external snapshots with virsh and qemu-img.
#   by-hand.sh take|restore|delete DOMAIN SNAPSHOT [FILE…]
set -e
verb=$1 domain=$2 name=$3
virsh() { command virsh -q -c qemu:///system "$@"; }
case $verb in
take) # FILE: the new overlay
  virsh snapshot-create-as "$domain" "$name" --disk-only --atomic \
    --diskspec "vda,snapshot=external,file=$4" --diskspec vdb,snapshot=no
  ;;
restore) # FROZEN, NEW, OLD
  qemu-img create -q -f qcow2 -b "$4" -F qcow2 "$5"
  record=$(virsh snapshot-dumpxml "$domain" "$name")
  sed -n '\|^  <domain |,\|^  </domain>|p' <<<"$record" | sed "s|<source file='[^']*/layer-[^']*'|<source file='$5'|" >"$5.xml"
  virsh define "$5.xml"
  virsh snapshot-create "$domain" /dev/stdin --redefine --current <<<"$record"
  rm "$5.xml" "$6"
  ;;
delete) # FROZEN, BELOW, CHILD
  virsh snapshot-delete --metadata "$domain" "$name"
  qemu-img rebase -q -f qcow2 -b "$5" -F qcow2 "$6"
  rm "$4"
  ;;
forget) # a snapshot whose file others stand on
  virsh snapshot-delete --metadata "$domain" "$name"
  ;;
esac
