#!/bin/sh
# sources.sh DEST: guarantees the unpacked and patched Debian sources of what we build ourselves, as
# DEST/newlib, DEST/lwip, DEST/inih and DEST/zydis, and DEST/versions, which names them.
#
# Each comes as a Debian source package (apt checks the archive's signature and every file's hash against
# it), from bookworm, or from the next suite whose files the mirror really has. Needs dpkg-dev, not root.
# Instant if DEST is complete.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DEST" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

# Our folder name, Debian's source package, a file by which the unpacked tree is known.
table="
    newlib newlib   newlib/libc/string/memcpy.c
    lwip   lwip     src/core/tcp.c
    inih   libinih  ini.c
    zydis  zydis    src/Decoder.c
"
suites="bookworm trixie forky sid"

is_complete() {
    [ -s "$1/versions" ] || return 1
    echo "$table" | while read -r folder _ file; do
        [ -z "$folder" ] || [ -s "$1/$folder/$file" ] || exit 1
    done
}

# fetch DIR PACKAGE SUITE: the files of one source package into DIR/PACKAGE.
fetch() {
    rm -rf "${1:?}/$2" && mkdir -p "$1/$2"
    # only-source: a source package may share its name with a binary of another one
    (cd "$1/$2" && apt-get -c "$1/apt/apt.conf" -qq source --only-source --download-only "$2/$3" > log 2>&1)
}

# unpack DIR FOLDER PACKAGE FILE: patched by dpkg-source. Debian's developers' keyring is not needed: apt has
# checked the files against the archive's own signature.
unpack() {
    (cd "$1/$3" && dpkg-source --no-copy --require-strong-checksums -x ./*.dsc "$1/out/$2" > log 2>&1) &&
        [ -s "$1/out/$2/$4" ]
}

dest=$(mkdir -p "$(dirname "$1")" && cd "$(dirname "$1")" && pwd)/$(basename "$1")
lock "$dest.lock"
is_complete "$dest" && exit 0

new=$dest.new
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf "$new"
mkdir -p "$new/out" "$new/apt"
write_apt_conf "$new/apt"
mirror=$(debian_mirror "$new/apt")

remaining=$table
for suite in $suites; do
    echo "$remaining" | grep -q . || break
    use_suite "$new/apt" deb-src "$suite" "$mirror" || continue
    echo "$remaining" > "$new/todo"
    remaining=
    while read -r folder package file; do
        [ -n "$folder" ] || continue
        if fetch "$new" "$package" "$suite" && unpack "$new" "$folder" "$package" "$file"; then
            version=$(sed -n 's/^Version: //p' "$new/$package"/*.dsc | head -n 1)
            echo "$folder $version $suite" >> "$new/out/versions"
            say "source of $package $version ($suite)"
        else
            say "source of $package is not complete in $suite on this mirror"
            remaining="$remaining
$folder $package $file"
        fi
    done < "$new/todo"
done
is_complete "$new/out" ||
    die "no suite of ($suites) gave the source of: $(echo "$remaining" | awk '{ print $2 }' | tr '\n' ' ')"
rm -rf "$dest"
mv "$new/out" "$dest"
