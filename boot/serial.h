/*
 * The text channels that need no firmware: COM1 by polling, and port 0xE9 where an emulator listens there. A
 * machine without either loses the text and no time: every wait is bounded.
 */
#ifndef TELEPOD_BOOT_SERIAL_H
#define TELEPOD_BOOT_SERIAL_H

#include <stdbool.h>

/* Finds out what is there. `com1`: set the UART up (115200 baud, 8N1) and use it; else it is left alone. */
void serial_init(bool com1);
/* "\n" goes out as "\r\n" on COM1. */
void serial_write(const char *text);

#endif
