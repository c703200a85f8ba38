#include "guests/lib/serial.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

void serial_put(char c)
{
    while (!(inb(UART_LSR) & UART_LSR_THRE))
        ;
    outb(UART_DATA, (uint8_t)c);
}

int serial_get(void)
{
    return inb(UART_LSR) & UART_LSR_DR ? inb(UART_DATA) : -1;
}
