#!/bin/sh
# fetch.sh DEST: guarantees, unpacked and unchanged, the Debian packages that the guests are made from that nobody
# here wrote: DEST/linux (the cloud flavour's kernel and its modules), DEST/busybox, DEST/stress-ng (with the
# libraries that it loads) and DEST/memtest86+; and DEST/versions, which names them.
#
# apt checks the archive's signature and each file's hash against it. Nothing is installed; needs no root. Instant
# if DEST is complete.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DEST" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../tools/setup/lib.sh"

# Our folder's name, Debian's package, a file by which the unpacked package is known. KERNEL: what the package
# linux-image-cloud-amd64 depends on, today's version of the kernel.
table="
    linux       KERNEL              boot/vmlinuz-*
    busybox     busybox-static      bin/busybox
    memtest86+  memtest86+          boot/memtest86+x64.bin
    stress-ng   stress-ng           usr/bin/stress-ng
    stress-ng   libc6               libc.so.6
    stress-ng   libapparmor1        libapparmor.so.1
    stress-ng   libbsd0             libbsd.so.0
    stress-ng   libmd0              libmd.so.0
    stress-ng   libcrypt1           libcrypt.so.1
    stress-ng   libipsec-mb1        libIPSec_MB.so.1
    stress-ng   libjpeg62-turbo     libjpeg.so.62
    stress-ng   libjudydebian1      libJudy.so.1
    stress-ng   libkmod2            libkmod.so.2
    stress-ng   liblzma5            liblzma.so.5
    stress-ng   libzstd1            libzstd.so.1
    stress-ng   libssl3             libcrypto.so.3
    stress-ng   libsctp1            libsctp.so.1
    stress-ng   libxxhash0          libxxhash.so.0
    stress-ng   zlib1g              libz.so.1
    stress-ng   libegl1             libEGL.so.1
    stress-ng   libgles2            libGLESv2.so.2
    stress-ng   libgbm1             libgbm.so.1
    stress-ng   libglvnd0           libGLdispatch.so.0
    stress-ng   libdrm2             libdrm.so.2
    stress-ng   libwayland-server0  usr/lib/x86_64-linux-gnu/libwayland-server.so.0
    stress-ng   libexpat1           libexpat.so.1
    stress-ng   libffi8             libffi.so.8
"
meta=linux-image-cloud-amd64
suite=bookworm

# unpacked DIR FOLDER PATTERN
unpacked() {
    find "$1/$2" -path "*/$3" 2> /dev/null | grep -q .
}

is_complete() {
    [ -s "$1/versions" ] || return 1
    echo "$table" | while read -r folder _ file; do
        [ -z "$folder" ] || unpacked "$1" "$folder" "$file" || exit 1
    done
}

dest=$(mkdir -p "$(dirname "$1")" && cd "$(dirname "$1")" && pwd)/$(basename "$1")
lock "$dest.lock"
is_complete "$dest" && exit 0

new=$dest.new
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf "$new"
mkdir -p "$new/out" "$new/apt" "$new/debs"
write_apt_conf "$new/apt"
use_suite "$new/apt" deb "$suite" "$(debian_mirror "$new/apt")" || die "apt cannot read the suite $suite"
kernel=$(apt-cache -c "$new/apt/apt.conf" depends "$meta" | awk '$1 == "Depends:" { print $2; exit }')
[ -n "$kernel" ] || die "$meta depends on no kernel in $suite"

echo "$table" > "$new/todo"
while read -r folder package file; do
    [ -n "$folder" ] || continue
    [ "$package" != KERNEL ] || package=$kernel
    rm -f "$new"/debs/*
    (cd "$new/debs" && apt-get -c ../apt/apt.conf -qq download "$package") || die "cannot download $package"
    mkdir -p "$new/out/$folder"
    dpkg-deb -x "$new"/debs/*.deb "$new/out/$folder"
    unpacked "$new/out" "$folder" "$file" || die "there is no $file in $package"
    echo "$folder $(dpkg-deb -f "$new"/debs/*.deb Package Version | sed 's/.*: //' | tr '\n' ' ')" >> "$new/out/versions"
    say "package $(tail -n 1 "$new/out/versions")"
done < "$new/todo"
is_complete "$new/out" || die "the packages are not complete"
rm -rf "$dest"
mv "$new/out" "$dest"
