/* One honest message of each type of record whose payload is a structure. */
#ifndef TELEPOD_TESTS_MESSAGES_H
#define TELEPOD_TESTS_MESSAGES_H

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "kernel/lib/addr.h"
#include "net/teleport/messages.h"

/* out: MESSAGE_WIRE_MAX bytes, aligned as the structure is. Beside what its check asks for, all zero. */
static inline void fake_message(uint16_t type, void *out)
{
    memset(out, 0, MESSAGE_WIRE_MAX);
    if (type == RECORD_HELLO)
        *(struct msg_hello *)out = (struct msg_hello){ WIRE_MAGIC, WIRE_VERSION, WIRE_VERSION, 5, 6, "pod", 7000, 0 };
    if (type == RECORD_GUEST)
        *(struct msg_guest *)out = (struct msg_guest){ .epoch = 1, .memory_bytes = 2 * MIB, .vcpus = 1, .name = "g" };
}

/* The file of tests/fuzz/corpus/wire that holds it: "audit-result" for AUDIT_RESULT. */
#define FAKE_MESSAGE_NAME_MAX 32
static inline void fake_message_name(uint16_t type, char out[FAKE_MESSAGE_NAME_MAX])
{
    snprintf(out, FAKE_MESSAGE_NAME_MAX, "%s", record_type_name(type));
    for (char *c = out; *c; c++)
        *c = *c == '_' ? '-' : (char)tolower(*c);
}

#endif
