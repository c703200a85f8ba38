/*
 * Guarantees: nothing outside the framebuffer is written, whatever its geometry. The characters are kept in RAM,
 * because reading a framebuffer is slow; scrolling draws again only cells that change.
 */
#include "kernel/framebuffer.h"
#include <string.h>
#include "kernel/font.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "mm/paging.h"

#define COLUMNS_MAX 240
#define ROWS_MAX 135
#define FOREGROUND 0xc8c8c8 /* grey: the same in RGBX and BGRX */
#define BACKGROUND 0x000000
#define TAB_WIDTH 8

static struct boot_framebuffer screen;
static volatile uint8_t *pixels; /* NULL: no framebuffer */
static struct font font;
static uint32_t columns, rows, column, row;
static char cells[ROWS_MAX][COLUMNS_MAX];

static void draw_cell(uint32_t r, uint32_t c)
{
    const uint8_t *glyph = font_glyph(&font, (uint8_t)cells[r][c]);
    uint32_t bytes_per_row = DIV_ROUND_UP(font.width, 8);

    for (uint32_t y = 0; y < font.height; y++, glyph += bytes_per_row) {
        volatile uint8_t *line = pixels + (uint64_t)(r * font.height + y) * screen.pitch;
        volatile uint32_t *out = (volatile uint32_t *)line + c * font.width;
        for (uint32_t x = 0; x < font.width; x++)
            out[x] = glyph[x / 8] >> (7 - x % 8) & 1 ? FOREGROUND : BACKGROUND;
    }
}

static void set_cell(uint32_t r, uint32_t c, char character)
{
    if (cells[r][c] == character)
        return;
    cells[r][c] = character;
    draw_cell(r, c);
}

static void scroll(void)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < columns; c++)
            set_cell(r, c, r + 1 < rows ? cells[r + 1][c] : ' ');
}

static void new_line(void)
{
    column = 0;
    if (row + 1 < rows)
        row++;
    else
        scroll();
}

static void put(char character)
{
    if (character == '\n') {
        new_line();
        return;
    }
    if (column == columns)
        new_line();
    if (character == '\t')
        column = MIN(ALIGN_UP(column + 1, (uint32_t)TAB_WIDTH), columns - 1);
    else if (character >= ' ')
        set_cell(row, column++, character);
}

void framebuffer_write(const char *text, size_t size)
{
    for (size_t i = 0; pixels && i < size; i++)
        put(text[i]);
}

static bool geometry_is_sane(const struct boot_framebuffer *f)
{
    return f->format != BOOT_PIXEL_NONE && f->base && f->width && f->height && f->pitch / sizeof(uint32_t) >= f->width;
}

static void clear(void)
{
    memset(cells, ' ', sizeof(cells));
    for (uint32_t y = 0; y < screen.height; y++) {
        volatile uint32_t *line = (volatile uint32_t *)(pixels + (uint64_t)y * screen.pitch);
        for (uint32_t x = 0; x < screen.width; x++)
            line[x] = BACKGROUND;
    }
}

bool framebuffer_init(const struct boot_framebuffer *framebuffer)
{
    volatile void *mapped;
    uint64_t offset = framebuffer->base & PAGE_MASK;
    uint64_t size = ALIGN_UP(offset + (uint64_t)framebuffer->height * framebuffer->pitch, PAGE_SIZE);

    if (!geometry_is_sane(framebuffer) || !font_open(&font))
        return false;
    screen = *framebuffer;
    columns = MIN(screen.width / font.width, (uint32_t)COLUMNS_MAX);
    rows = MIN(screen.height / font.height, (uint32_t)ROWS_MAX);
    if (!columns || !rows || paging_map_mmio((struct hpa){ screen.base - offset }, size, &mapped))
        return false;
    pixels = (volatile uint8_t *)mapped + offset;
    clear();
    return true;
}
