#!/bin/sh
# packages.sh STAMP: guarantees that the Debian packages which the build and the tests need are installed.
#
# As root it installs what is missing; as anybody else it says what root has to type, and fails. Instant, and
# quiet, when everything is there. STAMP holds the list and changes only when the list does.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 STAMP" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

packages="
    gcc libc6-dev make binutils python3
    dpkg-dev xz-utils patch
    gnu-efi ovmf qemu-system-x86
    libcmocka-dev libcjson-dev
    libzycore-dev acpica-tools
    clang libclang-rt-14-dev
    busybox iproute2 iputils-ping curl
    lz4
"

# missing: the names, one a line, of those that are not installed.
missing() {
    for package in $packages; do
        echo "$package"
    done | sort > "$work/wanted"
    # shellcheck disable=SC2086 # a list of words; dpkg-query fails if any is unknown, which is no error here
    dpkg-query -W -f '${Package} ${Status}\n' $packages 2> /dev/null |
        awk '$2 == "install" || $2 == "hold" { if ($4 == "installed") print $1 }' | sort -u > "$work/present"
    comm -23 "$work/wanted" "$work/present"
}

mkdir -p "$(dirname "$1")"
work=$(mktemp -d "$(dirname "$1")/packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

lacking=$(missing | tr '\n' ' ')
if [ -n "$lacking" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        die "these Debian packages are missing: $lacking
Have root install them, then run make again:
    apt-get update && apt-get install -y --no-install-recommends $lacking"
    fi
    say "installing: $lacking"
    export DEBIAN_FRONTEND=noninteractive
    retries="-o Acquire::Retries=5"
    apt-get -qq $retries update || die "apt-get update failed"
    # shellcheck disable=SC2086
    apt-get -qq $retries install -y --no-install-recommends $lacking > "$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; die "could not install: $lacking"; }
    lacking=$(missing | tr '\n' ' ')
    [ -z "$lacking" ] || die "still missing after apt-get install: $lacking"
fi

mkdir -p "$(dirname "$1")"
cmp -s "$work/wanted" "$1" || { cp "$work/wanted" "$1.new" && mv "$1.new" "$1"; }
