/* Text tables: columns as wide as their widest cell. Cells are copied and cut at CELL_MAX; rows beyond ROWS_MAX are counted. */
#ifndef TELEPOD_TOOLS_TABLE_H
#define TELEPOD_TOOLS_TABLE_H

#include <stdio.h>

#define TABLE_COLUMNS_MAX 12
#define TABLE_ROWS_MAX 160
#define TABLE_CELL_MAX 128

struct table {
    unsigned columns, rows, dropped;
    const char *alignment;      /* one letter a column: 'l' or 'r' */
    char cells[TABLE_ROWS_MAX][TABLE_COLUMNS_MAX][TABLE_CELL_MAX];
};

/* Columns and their alignment, e.g. "lrr". */
void table_init(struct table *table, const char *alignment);
void table_new_row(struct table *table);
/* Sets a cell of the newest row. */
void table_cell(struct table *table, unsigned column, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A whole row of plain texts, one a column. */
void table_row(struct table *table, const char *const *texts);
void table_print(const struct table *table, FILE *out);

#endif
