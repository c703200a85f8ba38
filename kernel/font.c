/* Guarantees: a glyph lies within the font file. Facts: the kernel's and kbd's descriptions of the PSF format. */
#include "kernel/font.h"
#include <stddef.h>
#include <string.h>

#define PSF1_MAGIC 0x0436
#define PSF1_MODE_512 0x01
#define PSF1_WIDTH 8
#define PSF2_MAGIC 0x864ab572u
#define ASCII_END 0x7f

struct psf1_header {
    uint16_t magic;
    uint8_t mode, glyph_size;
};

struct psf2_header {
    uint32_t magic, version, header_size, flags, glyph_count, glyph_size, height, width;
};

extern const uint8_t font_file[], font_file_end[]; /* kernel/font_file.S */

bool font_open(struct font *font)
{
    size_t size = (size_t)(font_file_end - font_file);
    struct psf1_header h1;
    struct psf2_header h2;

    if (size < sizeof(h2))
        return false;
    memcpy(&h1, font_file, sizeof(h1));
    memcpy(&h2, font_file, sizeof(h2));
    if (h1.magic == PSF1_MAGIC)
        *font = (struct font){ PSF1_WIDTH, h1.glyph_size, h1.mode & PSF1_MODE_512 ? 512 : 256, h1.glyph_size,
                               font_file + sizeof(h1) };
    else if (h2.magic == PSF2_MAGIC && h2.header_size <= size)
        *font = (struct font){ h2.width, h2.height, h2.glyph_count, h2.glyph_size, font_file + h2.header_size };
    else
        return false;
    uint64_t available = (uint64_t)(font_file_end - font->glyphs);
    return font->width && font->height && font->glyph_count > ASCII_END &&
           (uint64_t)(font->width + 7) / 8 * font->height <= font->glyph_size &&
           (uint64_t)font->glyph_count * font->glyph_size <= available;
}

const uint8_t *font_glyph(const struct font *font, uint8_t character)
{
    if (character >= ASCII_END)
        character = '?';
    return font->glyphs + (uint64_t)character * font->glyph_size;
}
