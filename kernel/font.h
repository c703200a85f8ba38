/* The console font: a PC Screen Font file (version 1 or 2) that is linked into the kernel. */
#ifndef TELEPOD_FONT_H
#define TELEPOD_FONT_H

#include <stdbool.h>
#include <stdint.h>

struct font {
    uint32_t width, height; /* pixels */
    uint32_t glyph_count, glyph_size;
    const uint8_t *glyphs; /* rows of ceil(width / 8) bytes, most significant bit left */
};

bool font_open(struct font *font); /* false: the file is no font that we understand */
const uint8_t *font_glyph(const struct font *font, uint8_t character); /* of ASCII; others look like '?' */

#endif
