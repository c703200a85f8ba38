/*
 * The loader's voice: every sentence goes to the firmware's console (the screen), to COM1 and to port 0xE9.
 * Where the firmware itself shows its console on a serial port too, COM1 is left to it, so that no text comes
 * twice.
 */
#ifndef TELEPOD_BOOT_CONSOLE_H
#define TELEPOD_BOOT_CONSOLE_H

/* Needs ST, BS and RT. */
void console_init(void);
/* One line, "telepod: " in front and the line end behind it. Formats are newlib's integer formats. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The firmware's console is gone from now on, COM1 is ours. */
void console_leave_firmware(void);
/* Returns after a key press or after `seconds`; at once if the firmware's console is gone, for its timer may
   be too. */
void console_wait_key(unsigned seconds);

#endif
