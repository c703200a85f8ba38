#!/bin/sh
# bochs.sh PREFIX: guarantees a Bochs of at least 3.1 (the first with UEFI) whose IDIV divides right.
#
# Leaves the launchers PREFIX/bochs and PREFIX/bxhub, PREFIX/share (Bochs's BXSHARE: the VGA BIOS) and
# PREFIX/version. Takes the system's Bochs where that is good enough; otherwise Debian's, from a newer suite
# on this machine's own mirror, unpacked beside the libraries that it needs. Needs gcc and nm, not root.
# PREFIX can be moved. Instant if PREFIX already holds a Bochs that works.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 PREFIX" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

oldest=3.1
suites="forky sid"
# Bochs, its VGA BIOS, and of its libraries those that it calls; the GTK ones are replaced by stubs.
wanted="bochs vgabios libc6 libgcc-s1 libstdc++6 libltdl7 libreadline8t64 libtinfo6"
libdir=usr/lib/x86_64-linux-gnu
# Changes with this script or the mend, so that an edited one is not mistaken for done.
mends="$here/bochs-mend.c $here/bochs-mend-smp.c $here/bochs-mend-interrupt.c"
recipe=$(cat "$here"/bochs.sh "$here"/bochs-mend* | cksum)

# works PREFIX: the launcher starts, knows the processor that the lab asks for, and divides right.
works() {
    [ -x "$1/bochs" ] && [ -x "$1/bxhub" ] && [ -s "$1/share/VGABIOS-lgpl-latest" ] &&
        "$1/bochs" --help cpu 2>&1 < /dev/null | grep -q '^corei7_icelake_u' &&
        TELEPOD_IDIV_CHECK=1 "$1/bochs" --help 2> /dev/null < /dev/null | grep -Eq '^idiv: (right|mended)'
}

# use_system DIR: launchers for a Bochs that the system has; fails if it has none that is good enough.
use_system() {
    program=$(command -v bochs) && hub=$(command -v bxhub) || return 1
    share=/usr/share/bochs
    [ -s "$share/VGABIOS-lgpl-latest" ] || return 1
    version=$("$program" --help 2>&1 < /dev/null |
        sed -n 's/.*Bochs x86 Emulator \([0-9.]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] && dpkg --compare-versions "$version" ge "$oldest" || return 1
    mkdir -p "$1/stub"
    # shellcheck disable=SC2086 # a list of files
    gcc -shared -fPIC -O1 -Wall -Wextra -o "$1/stub/libbochs-mend.so" $mends
    ln -s "$share" "$1/share"
    cat > "$1/bochs" <<EOF
#!/bin/sh
prefix=\$(dirname "\$(readlink -f "\$0")")
export BXSHARE=$share LD_PRELOAD=\$prefix/stub/libbochs-mend.so\${LD_PRELOAD:+:\$LD_PRELOAD}
[ -z "\$TELEPOD_MODULES" ] || export LTDL_LIBRARY_PATH=\$TELEPOD_MODULES
exec $program "\$@"
EOF
    printf '#!/bin/sh\nexec %s "$@"\n' "$hub" > "$1/bxhub"
    chmod +x "$1/bochs" "$1/bxhub"
    echo "$version (the system's)" > "$1/version"
    works "$1"
}

# download DIR SUITE MIRROR: the packages of one suite, unpacked into DIR/root.
download() {
    rm -rf "$1/apt" "$1/deb" "$1/root"
    mkdir -p "$1/apt" "$1/deb" "$1/root"
    write_apt_conf "$1/apt"
    use_suite "$1/apt" deb "$2" "$3" || return 1
    # shellcheck disable=SC2086 # a list of words
    (cd "$1/deb" && apt-get -c "$1/apt/apt.conf" -qq download $wanted) || return 1
    version=$(dpkg-deb -f "$1"/deb/bochs_*.deb Version) || return 1
    dpkg --compare-versions "$version" ge "$oldest" || { say "Bochs in $2 is only $version"; return 1; }
    for deb in "$1"/deb/*.deb; do dpkg-deb -x "$deb" "$1/root" || return 1; done
    echo "$version ($2)" > "$1/version"
}

# build_stubs DIR: the binary is linked against GTK for its debugger window only. The loader gets one
# library, of functions that trap, under the names of all of GTK's; the mend rides in it.
build_stubs() {
    mkdir -p "$1/stub"
    nm -D --undefined-only "$1/root/usr/bin/bochs-bin" |
        awk '$1 == "U" && $2 ~ /^(gtk|gdk|g|pango|cairo)_/ {
            print "void " $2 "(void) { __builtin_trap(); }"
        }' > "$1/stub/gtk-traps.c"
    # shellcheck disable=SC2086 # a list of files
    gcc -shared -fPIC -O1 -w -o "$1/stub/libgtk-traps.so" "$1/stub/gtk-traps.c" $mends
    for library in $(objdump -p "$1/root/usr/bin/bochs-bin" | awk '$1 == "NEEDED" { print $2 }'); do
        case $library in
        libgtk-* | libgdk* | libg[olim]*-2.0.* | libpango* | libcairo* | libatk* | libharfbuzz*)
            ln -s libgtk-traps.so "$1/stub/$library" ;;
        *)
            [ -e "$1/root/$libdir/$library" ] ||
                { say "Bochs needs $library, which was not fetched"; return 1; } ;;
        esac
    done
}

# write_launcher DIR NAME BINARY: plug-ins also from TELEPOD_MODULES; started through the prefix's own ld.so, since the binary wants a newer libc.
write_launcher() {
    cat > "$1/$2" <<EOF
#!/bin/sh
prefix=\$(dirname "\$(readlink -f "\$0")")
lib=\$prefix/root/$libdir
export LTDL_LIBRARY_PATH=\${TELEPOD_MODULES:+\$TELEPOD_MODULES:}\$lib/bochs/plugins BXSHARE=\$prefix/share
exec "\$lib/ld-linux-x86-64.so.2" --library-path "\$prefix/stub:\$lib" "\$prefix/root/usr/bin/$3" "\$@"
EOF
    chmod +x "$1/$2"
}

# use_debian DIR: Bochs from the first suite that has a good one.
use_debian() {
    mirror=$(debian_mirror "$1/apt") || exit 1
    for suite in $suites; do
        if download "$1" "$suite" "$mirror" && build_stubs "$1"; then
            ln -sfn root/usr/share/bochs "$1/share"
            write_launcher "$1" bochs bochs-bin
            write_launcher "$1" bxhub bxhub
            if works "$1"; then
                rm -rf "$1/apt" "$1/deb"
                return 0
            fi
            say "Bochs of $suite does not start, or divides wrong"
        fi
    done
    return 1
}

prefix=$(mkdir -p "$(dirname "$1")" && cd "$(dirname "$1")" && pwd)/$(basename "$1")
lock "$prefix.lock"
[ "$(cat "$prefix/recipe" 2> /dev/null)" = "$recipe" ] && works "$prefix" && exit 0
[ "$(uname -m)" = x86_64 ] || die "Bochs is fetched for x86_64 only; install Bochs $oldest or newer"

new=$prefix.new
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf "$new" && mkdir -p "$new"
if ! use_system "$new"; then
    rm -rf "$new" && mkdir -p "$new"
    use_debian "$new" || die "no suite of ($suites) gave a Bochs of at least $oldest that works"
fi
echo "$recipe" > "$new/recipe"
rm -rf "$prefix"
mv "$new" "$prefix"
say "Bochs $(cat "$prefix/version")"
