/* Access rights of segments in the VMCS's format (SDM 25.4.1, Table 25-2 "Format of Access Rights"). */
#ifndef TELEPOD_ACCESS_RIGHTS_H
#define TELEPOD_ACCESS_RIGHTS_H

#define ACCESS_PRESENT 0x80u
#define ACCESS_CODE_OR_DATA 0x10u
#define ACCESS_LONG 0x2000u             /* L: 64-bit code */
#define ACCESS_BIG 0x4000u              /* D/B: 32-bit operands and stack */
#define ACCESS_GRANULARITY 0x8000u      /* G: the limit counts 4 KiB */
#define TYPE_DATA_READ_WRITE_ACCESSED 0x3u
#define TYPE_CODE_READ_ACCESSED 0xbu
#define TYPE_LDT 0x2u
#define TYPE_BUSY_TSS_32 0xbu           /* in IA-32e mode: a busy 64-bit TSS */
#define ACCESS_DATA (ACCESS_PRESENT | ACCESS_CODE_OR_DATA | TYPE_DATA_READ_WRITE_ACCESSED)
#define ACCESS_CODE (ACCESS_PRESENT | ACCESS_CODE_OR_DATA | TYPE_CODE_READ_ACCESSED)

#endif
