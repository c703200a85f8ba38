/* A guest's RAM for tests of what reads and writes it by address (vmx/guest_walk.h): RAM_SIZE bytes, defined by who includes. */
#ifndef TELEPOD_FAKE_RAM_H
#define TELEPOD_FAKE_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef RAM_SIZE
#define RAM_SIZE 0x10000
#endif

static uint8_t ram[RAM_SIZE];

static bool ram_read(void *context, uint64_t gpa, void *out, size_t size)
{
    (void)context;
    if (gpa > RAM_SIZE || size > RAM_SIZE - gpa)
        return false;
    memcpy(out, ram + gpa, size);
    return true;
}

static bool ram_update(void *context, uint64_t gpa, uint64_t old, uint64_t new, size_t size)
{
    uint64_t now = 0;
    if (!ram_read(context, gpa, &now, size) || now != old)
        return false;
    memcpy(ram + gpa, &new, size);
    return true;
}

#endif
