#!/bin/sh
# run.sh IMAGE.elf [MIB [COMMAND LINE...]]: runs a guest on a bare Bochs, without a pod, and shows its console.
#
# Ends when the guest's last line is its verdict, or after BARE_SECONDS (20) of wall time. Status 0: "<name>: pass".
# Variables: BOCHS (the launcher), IPS, BARE_SECONDS.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 IMAGE.elf [MIB [COMMAND LINE...]]" >&2; exit 2; }
image=$1
mib=${2:-32}
[ $# -ge 2 ] && shift 2 || shift
: "${BUILD:=build}" "${BOCHS:=$BUILD/deps/bochs/bochs}" "${IPS:=50000000}" "${BARE_SECONDS:=20}"
name=$(basename "$image" .elf)
bochs=$(readlink -f "$BOCHS")
dir=$BUILD/guests/bare/$name
mkdir -p "$dir"

objcopy -O binary "$image" "$dir/image.bin"
gcc -I. -c -o "$dir/rom.o" -DGUEST_IMAGE="\"$dir/image.bin\"" -DGUEST_COMMAND_LINE="\"$*\"" \
    -DGUEST_RAM_SIZE="$((mib << 20))" guests/bare/rom.S
objcopy -O binary -j .rom "$dir/rom.o" "$dir/rom.bin"

cat > "$dir/bochsrc" <<RC
plugin_ctrl: unmapped=1, biosdev=0, speaker=0, parallel=0, gameport=0, serial=1, usb_uhci=0
display_library: rfb, options="timeout=0, no_gui_console, hideIPS"
cpu: model=${MODEL:-corei7_icelake_u}, count=1, ips=$IPS, reset_on_triple_fault=0, ignore_bad_msrs=0, cpuid_freq=ips
memory: guest=$mib, host=$mib
romimage: file=rom.bin, address=0xffff0000
vgaromimage: file=\$BXSHARE/VGABIOS-lgpl-latest
com1: enabled=1, mode=file, dev=console.txt
log: bochs.log
clock: sync=${SYNC:-none}, time0=946681200
panic: action=${PANIC:-fatal}
error: action=report
warn: action=report
info: action=report
debug: action=ignore
RC

cd "$dir"
rm -f console.txt bochs.log ./*.lock
: > console.txt
echo n | timeout "$BARE_SECONDS" "$bochs" -q -f bochsrc > bochs.out 2>&1 &
runner=$!
while kill -0 "$runner" 2> /dev/null; do
    if grep -Eq "^$name: (pass|FAIL)|^hello: halt" console.txt; then
        sleep 0.3
        kill "$runner" 2> /dev/null || true
        break
    fi
    sleep 0.2
done
wait "$runner" 2> /dev/null || true
cat console.txt
grep -q "^$name: pass" console.txt
