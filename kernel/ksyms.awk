# Turns `nm -n kernel` into the table that kernel/symbols.c reads: text symbols only, as offsets from KERNEL_BASE (its
# lower half is 80000000H), closed by __text_end. Empty input gives an empty table: the first of the two links.
# The table lies behind all text, so that its growth between the links moves no function.
function emit(offset, name) {
    table = table sprintf(".long 0x%s - 0x80000000, %d\n", offset, position)
    names = names sprintf(".asciz \"%s\"\n", name)
    position += length(name) + 1
    count++
}
$3 == "__text_end" { end = substr($1, 9) }
$2 ~ /^[tTwW]$/ && $3 !~ /^__text_|^\.L/ {
    offset = substr($1, 9)
    if (offset != last)
        emit(offset, $3)
    last = offset
}
END {
    if (count)
        emit(end, "(end)")
    print ".section .rodata.ksyms, \"a\"\n.globl ksyms_table, ksyms_count, ksyms_names\n.balign 8"
    print "ksyms_table:\n" table "ksyms_count: .long " count + 0 "\nksyms_names:\n" names ".byte 0"
    print ".section .note.GNU-stack, \"\", @progbits"
}
