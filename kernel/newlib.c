/*
 * What newlib asks of its system, but for the heap's hooks (mm/heap.c). There are no files and no processes here: an
 * assertion or abort in a library is our bug and panics.
 */
#include <assert.h>
#include <stdlib.h>
#include "kernel/log.h"

void __assert_func(const char *file, int line, const char *function, const char *expression)
{
    panic("assertion failed: %s, %s:%d (%s)", expression, file, line, function ? function : "?");
}

void abort(void)
{
    panic("abort() was called");
}
