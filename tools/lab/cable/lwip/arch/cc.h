/* cc.h: what lwIP asks of a compiler and a C library; the host has all of it. */
#ifndef TELEPOD_TOOLS_LAB_CABLE_ARCH_CC_H
#define TELEPOD_TOOLS_LAB_CABLE_ARCH_CC_H

#include <stdio.h>
#include <stdlib.h>

#define LWIP_PLATFORM_DIAG(text) do { printf text; } while (0)
#define LWIP_PLATFORM_ASSERT(text) do { fprintf(stderr, "cable: lwIP: %s\n", text); abort(); } while (0)

#endif
