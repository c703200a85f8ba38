#!/bin/sh
# newlib.sh SOURCE INCLUDE: guarantees newlib's headers for x86_64-elf in INCLUDE, complete or not at all.
#
# newlib's own configure runs once, with the host's gcc, only to write newlib.h (which facilities the library
# has); deps.mk compiles the library itself. long long and the C99 formats (%zu, %llx, %jd) are wanted in
# printf; wide-character streams are not.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 SOURCE INCLUDE" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

source=$(cd "$1/newlib" && pwd)
include=$(mkdir -p "$(dirname "$2")" && cd "$(dirname "$2")" && pwd)/$(basename "$2")
new=$include.new
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf "$new"
mkdir -p "$new/build" "$new/out"

cd "$new/build"
# Without --no-recursion it would configure some forty folders whose Makefiles nobody here uses.
{ "$source/configure" --no-recursion --build=x86_64-linux-gnu --host=x86_64-elf --target=x86_64-elf \
    --disable-multilib --enable-newlib-io-long-long --enable-newlib-io-c99-formats \
    --disable-newlib-wide-orient CC=gcc AS=as AR=ar RANLIB=ranlib &&
    MAKEFLAGS='' make stmp-targ-include; } > "$include.log" 2>&1 ||
    { tail -n 5 "$include.log" >&2; die "newlib's configure failed (all of it: $include.log)"; }

cp -R "$source/libc/include/." "$new/out"
cp -R targ-include/. "$new/out"
# newlib's is for compilers without _Atomic and does not compile with gcc's; without it gcc's own is found.
rm -f "$new/out/stdatomic.h"
rm -rf "$include"
mv "$new/out" "$include"
touch "$include/newlib.h"
