/* COM1, polled. Sending waits for the transmitter, as on a real UART. */
#ifndef TELEPOD_GUESTS_SERIAL_H
#define TELEPOD_GUESTS_SERIAL_H

void serial_put(char c);
int serial_get(void);       /* the next byte received, or -1: none waits */

#endif
