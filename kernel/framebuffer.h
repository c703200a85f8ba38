/* The log as text on the loader's framebuffer; without one, every call does nothing. The caller keeps calls apart. */
#ifndef TELEPOD_FRAMEBUFFER_H
#define TELEPOD_FRAMEBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include "boot/boot_info.h"

bool framebuffer_init(const struct boot_framebuffer *framebuffer); /* false: none, or one that we cannot use */
void framebuffer_write(const char *text, size_t size);

#endif
