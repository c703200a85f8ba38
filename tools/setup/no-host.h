/*
 * no-host.h: put before a foreign file by -include; guarantees that it reaches neither a file nor the heap.
 *
 * inih can read files and newlib's formatter can grow a buffer (asprintf). Telepod uses neither, and the
 * loader has neither: the calls stay in the foreign source, and find nothing here. newlib's internal names
 * are its own.
 */
#ifndef TELEPOD_NO_HOST_H
#define TELEPOD_NO_HOST_H

#include <reent.h>
#include <stdio.h>
#include <stdlib.h>

static inline FILE *no_host_fopen(const char *path, const char *mode)
{
    (void)path;
    (void)mode;
    return NULL;
}

static inline char *no_host_fgets(char *line, int size, FILE *file)
{
    (void)line;
    (void)size;
    (void)file;
    return NULL;
}

static inline int no_host_fclose(FILE *file)
{
    (void)file;
    return 0;
}

static inline void *no_host_malloc(size_t size)
{
    (void)size;
    return NULL;
}

static inline void *no_host_realloc(void *old, size_t size)
{
    (void)old;
    (void)size;
    return NULL;
}

static inline void no_host_free(void *memory)
{
    (void)memory;
}

#define fopen no_host_fopen
#define fgets no_host_fgets
#define fclose no_host_fclose
#define malloc no_host_malloc
#define realloc no_host_realloc
#define free no_host_free
#define _malloc_r(reent, size) no_host_malloc(size)
#define _realloc_r(reent, old, size) no_host_realloc(old, size)
#define _free_r(reent, memory) no_host_free(memory)

#endif
