/* extern const uint8_t font_file[], font_file_end[];     the font, as the build found it (FONT_PSF of kernel/build.mk) */
.section .rodata.font_file, "a"
.balign 8
.globl font_file, font_file_end
font_file:
    .incbin FONT_PSF
font_file_end:
.section .note.GNU-stack, "", @progbits
