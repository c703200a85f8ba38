#!/bin/sh
# font.sh FILE: guarantees an 8x16 console font in FILE, in PSF format, for the framebuffer.
#
# It is Lat15-VGA16 of Debian's console-setup: PSF version 1 with 256 glyphs, in which a glyph's index is its
# ASCII code from 0x20 to 0x7e. Unpacked, not installed; needs no root. Instant if FILE is a font already.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 FILE" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

package=console-setup-linux
inside=usr/share/consolefonts/Lat15-VGA16.psf.gz
suites="bookworm trixie forky sid"

# is_font FILE: PSF1's magic 36 04, any mode, 16 bytes a glyph, and at least 256 glyphs.
is_font() {
    [ -s "$1" ] && [ "$(od -A n -t x1 -N 2 "$1" | tr -d ' ')" = 3604 ] &&
        [ "$(od -A n -t u1 -j 3 -N 1 "$1" | tr -d ' ')" = 16 ] && [ "$(wc -c < "$1")" -ge 4100 ]
}

font=$(mkdir -p "$(dirname "$1")" && cd "$(dirname "$1")" && pwd)/$(basename "$1")
lock "$font.lock"
is_font "$font" && exit 0

new=$font.new
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf "$new" && mkdir -p "$new/root"
if [ -s "/$inside" ]; then
    gzip -dc "/$inside" > "$new/font"
else
    write_apt_conf "$new/apt"
    mirror=$(debian_mirror "$new/apt")
    for suite in $suites; do
        use_suite "$new/apt" deb "$suite" "$mirror" || continue
        (cd "$new" && apt-get -c apt/apt.conf -qq download $package) || continue
        dpkg-deb -x "$new"/$package*.deb "$new/root" && gzip -dc "$new/root/$inside" > "$new/font" && break
    done
fi
is_font "$new/font" || die "no suite of ($suites) gave the font $inside of $package"
mv "$new/font" "$font"
say "font $(basename "$inside" .psf.gz)"
