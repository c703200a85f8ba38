/*
 * What the sections and keys of telepod.ini are: the tables that boot/config.c works through. Constant data
 * and pure setters.
 */
#ifndef TELEPOD_BOOT_CONFIG_KEYS_H
#define TELEPOD_BOOT_CONFIG_KEYS_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/pod_config.h"

#define CONFIG_NAME_RULE "up to 31 letters, digits, '-', '_' or '.', a letter first"
#define CONFIG_FILE_RULE "a file name of up to 63 letters, digits, '-', '_' or '.', no folder"

/* Where a setter writes. */
struct config_target {
    struct pod_config *pod;
    struct guest_config *guest;  /* the guest whose section it is; not used by the keys of [pod] */
};

enum config_key_occurrence { CONFIG_KEY_ONCE, CONFIG_KEY_REQUIRED, CONFIG_KEY_REPEATABLE };

struct config_key {
    const char *name;
    bool (*set)(struct config_target *t, const char *value);  /* false: the value is not as expected */
    const char *expected;                                     /* follows "expected " */
    enum config_key_occurrence occurrence;
};

struct config_section {
    const struct config_key *keys;
    uint32_t key_count;  /* at most 32 */
    /* Rules and defaults that join several keys: what is wrong, or NULL. */
    const char *(*finish)(const struct config_target *t);
};

extern const struct config_section config_section_pod, config_section_guest;
extern const struct pod_config config_default_pod;
extern const struct guest_config config_default_guest;

#endif
