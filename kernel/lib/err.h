/*
 * One error type for the whole pod. A function that can fail returns enum err; what went wrong in words is logged at the
 * point of origin (log_error), because only that place knows the figures.
 */
#ifndef TELEPOD_ERR_H
#define TELEPOD_ERR_H

enum err {
    OK = 0,
    ERR_NO_MEMORY,     /* a page, a heap block or guest memory could not be had */
    ERR_INVALID,       /* an argument, a file or a record makes no sense */
    ERR_RANGE,         /* an offset, length or count is outside its bounds */
    ERR_NOT_FOUND,     /* no such guest, file, device or peer */
    ERR_EXISTS,        /* the name is taken */
    ERR_BUSY,          /* the object is in the middle of something else */
    ERR_STATE,         /* not possible in the object's present state */
    ERR_UNSUPPORTED,   /* the processor, a device or the peer lacks what is needed */
    ERR_TIMEOUT,       /* a bounded wait ended */
    ERR_CLOSED,        /* the peer closed or reset the connection, or the network is down */
    ERR_PROTOCOL,      /* the peer sent something that the protocol does not allow */
    ERR_VERSION,       /* the peer or the file is of a version that we do not speak */
    ERR_CORRUPT,       /* a checksum or digest does not match */
    ERR_REFUSED,       /* the peer understood, and said no */
    ERR_ABORTED,       /* the operator, or the other side, called it off */
    ERR_IN_DOUBT,      /* COMMIT was sent and no answer came: only the peer or an operator can tell */
    ERR_COUNT
};

/* A short lower-case phrase ("out of memory"); never NULL, also for values that are no enum err. */
const char *err_name(enum err e);

#endif
