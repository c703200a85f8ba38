#!/bin/sh
# no-fpu.sh FILE...: fails, and says where, if any instruction in it touches the FPU, MMX, SSE or AVX.
#
# Guest state lives in those registers while kernel code runs (they belong to the vCPU), so one stray movaps
# in a library would corrupt a guest without a trace. (An instruction whose name starts with f is an x87 one.)
set -eu
for file; do
    found=$(objdump -d --no-show-raw-insn "$file" | awk '
        /^[0-9a-f]+ <.*>:$/ { function_name = $2 }
        /%(xmm|ymm|zmm|mm|st)[0-9(]|%st[,)]?$|\tf[a-z][a-z]/ {
            if (++n <= 5) print "  " function_name " " $0
        }')
    if [ -n "$found" ]; then
        printf '%s: uses FPU or SSE registers:\n%s\n' "$file" "$found" >&2
        exit 1
    fi
done
