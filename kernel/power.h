/* The end of the machine. */
#ifndef TELEPOD_POWER_H
#define TELEPOD_POWER_H

/*
 * Lets the consoles drain and switches the machine off: through Bochs's shutdown port where the debug port says that this is
 * Bochs, else by ACPI. Returns after a second if that had no effect. In a thread.
 */
void power_off(void);

#endif
