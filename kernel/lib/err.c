/* Guarantees a phrase for every value, in the order of enum err. */
#include "kernel/lib/err.h"
#include <stddef.h>
#include "kernel/lib/util.h"

static const char *const names[] = {
    [OK] = "ok",
    [ERR_NO_MEMORY] = "out of memory",
    [ERR_INVALID] = "invalid",
    [ERR_RANGE] = "out of range",
    [ERR_NOT_FOUND] = "not found",
    [ERR_EXISTS] = "exists already",
    [ERR_BUSY] = "busy",
    [ERR_STATE] = "not possible in this state",
    [ERR_UNSUPPORTED] = "not supported",
    [ERR_TIMEOUT] = "timed out",
    [ERR_CLOSED] = "connection closed",
    [ERR_PROTOCOL] = "protocol violated",
    [ERR_VERSION] = "unknown version",
    [ERR_CORRUPT] = "checksum mismatch",
    [ERR_REFUSED] = "refused",
    [ERR_ABORTED] = "aborted",
    [ERR_IN_DOUBT] = "in doubt",
};
_Static_assert(ARRAY_SIZE(names) == ERR_COUNT, "a phrase for each error");

const char *err_name(enum err e)
{
    return (unsigned)e < ARRAY_SIZE(names) ? names[e] : "unknown error";
}
