/* Tables: see table.h. */
#include "tools/telepod/table.h"

#include <stdarg.h>
#include <string.h>

void table_init(struct table *table, const char *alignment)
{
    table->alignment = alignment;
    table->columns = (unsigned)strlen(alignment);
    table->rows = table->dropped = 0;
    if (table->columns > TABLE_COLUMNS_MAX)
        table->columns = TABLE_COLUMNS_MAX;
}

void table_new_row(struct table *table)
{
    if (table->rows == TABLE_ROWS_MAX) {
        table->dropped++;
        table->rows--;
    }
    memset(table->cells[table->rows++], 0, sizeof(table->cells[0]));
}

void table_cell(struct table *table, unsigned column, const char *format, ...)
{
    va_list args;

    if (!table->rows || column >= table->columns)
        return;
    va_start(args, format);
    vsnprintf(table->cells[table->rows - 1][column], TABLE_CELL_MAX, format, args);
    va_end(args);
}

void table_row(struct table *table, const char *const *texts)
{
    table_new_row(table);
    for (unsigned i = 0; i < table->columns; i++)
        table_cell(table, i, "%s", texts[i]);
}

static int column_width(const struct table *table, unsigned column)
{
    size_t width = 0;

    for (unsigned row = 0; row < table->rows; row++) {
        size_t length = strlen(table->cells[row][column]);

        width = length > width ? length : width;
    }
    return (int)width;
}

void table_print(const struct table *table, FILE *out)
{
    int widths[TABLE_COLUMNS_MAX];

    for (unsigned i = 0; i < table->columns; i++)
        widths[i] = column_width(table, i);
    for (unsigned row = 0; row < table->rows; row++) {
        for (unsigned i = 0; i < table->columns; i++) {
            const char *cell = table->cells[row][i];

            if (table->alignment[i] == 'r')
                fprintf(out, "  %*s", widths[i], cell);
            else if (i + 1 < table->columns)
                fprintf(out, "  %-*s", widths[i], cell);
            else if (*cell)
                fprintf(out, "  %s", cell);
        }
        fputc('\n', out);
    }
    if (table->dropped)
        fprintf(out, "  (and %u more)\n", table->dropped);
}
