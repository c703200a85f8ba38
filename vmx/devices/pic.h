/*
 * The PC's two 8259A interrupt controllers, the slave on IR2 of the master, with the edge/level control registers of
 * PCI chipsets (Intel 8259A data sheet; 82371SB data sheet, "ELCR1, ELCR2"). Pure model; all of its state is in
 * struct pic.
 *
 * An edge is latched: it stays requested until it is acknowledged or the chip is initialized, also when the line
 * falls before. A level-triggered request follows its line.
 */
#ifndef TELEPOD_DEVICES_PIC_H
#define TELEPOD_DEVICES_PIC_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/fields.h"

#define PIC_IRQS 16
#define PIC_IRQS_PER_CHIP 8

enum pic_port {
    PIC_MASTER_COMMAND = 0x20,
    PIC_MASTER_DATA = 0x21,
    PIC_SLAVE_COMMAND = 0xa0,
    PIC_SLAVE_DATA = 0xa1,
    PIC_ELCR_MASTER = 0x4d0,
    PIC_ELCR_SLAVE = 0x4d1,
};

struct pic_chip {
    uint8_t irr, imr, isr;
    uint8_t lines;              /* levels of the inputs */
    uint8_t elcr;               /* bit n: IR n is level-triggered */
    uint8_t vector_base;        /* ICW2[7:3] */
    uint8_t lowest;             /* the input of lowest priority, 0 .. 7 */
    uint8_t next_icw;           /* the ICW that the data port expects: 2, 3, 4; 0: initialized */
    uint8_t icw1;               /* as last written: IC4, SNGL */
    uint8_t auto_eoi, rotate_on_auto_eoi, special_mask, special_fully_nested;   /* 0 or 1 each */
    uint8_t read_isr;           /* the command port reads the ISR, not the IRR */
    uint8_t poll;               /* the next read of either port is a poll */
};

struct pic {
    struct pic_chip chip[2];    /* master, slave */
};
extern const struct section pic_section;

/* As after power-on: nothing is initialized, all inputs are masked, all edge-triggered. */
void pic_reset(struct pic *pic);

/* A byte access to one of enum pic_port; another port reads as ones and ignores writes. */
uint8_t pic_read(struct pic *pic, uint16_t port);
void pic_write(struct pic *pic, uint16_t port, uint8_t value);

/* The level of input 0 .. 15 (2 is the cascade: ignored; so is a number beyond). */
void pic_set_irq(struct pic *pic, unsigned irq, bool level);

/* The master's INT output. It changes with every other function here. */
bool pic_output(const struct pic *pic);

/* The processor's INTA cycles: the vector. Without a request it is IR7's of the chip that was asked (spurious). */
uint8_t pic_acknowledge(struct pic *pic);

#endif
