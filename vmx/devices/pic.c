/*
 * Two 8259As. Which request wins, and whether it may interrupt what is in service, is one function
 * (`highest_request`); output, acknowledge and poll all ask it, so they cannot disagree.
 */
#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/pic.h"

#define MASTER 0
#define SLAVE 1
#define CASCADE_IRQ 2
#define SPURIOUS_IRQ 7
#define NO_IRQ (-1)

/* Command port, writes: bit 4 tells an ICW1, bit 3 an OCW3, else it is an OCW2. */
#define ICW1 0x10
#define ICW1_IC4 0x01
#define ICW1_SINGLE 0x02
#define ICW1_KEPT (ICW1_IC4 | ICW1_SINGLE)
#define ICW2_BASE 0xf8
#define ICW4_AUTO_EOI 0x02
#define ICW4_SPECIAL_FULLY_NESTED 0x10
#define OCW3 0x08
#define OCW3_READ_ISR 0x01
#define OCW3_READ_REGISTER 0x02
#define OCW3_POLL 0x04
#define OCW3_SPECIAL_MASK 0x20
#define OCW3_ENABLE_SPECIAL_MASK 0x40
#define OCW2_COMMAND(value) ((value) >> 5)
#define OCW2_LEVEL(value) ((value) & 7)

enum ocw2 {
    OCW2_ROTATE_IN_AUTO_EOI_CLEAR = 0,
    OCW2_NON_SPECIFIC_EOI = 1,
    OCW2_NO_OPERATION = 2,
    OCW2_SPECIFIC_EOI = 3,
    OCW2_ROTATE_IN_AUTO_EOI_SET = 4,
    OCW2_ROTATE_ON_NON_SPECIFIC_EOI = 5,
    OCW2_SET_PRIORITY = 6,
    OCW2_ROTATE_ON_SPECIFIC_EOI = 7,
};

#define POLL_REQUEST 0x80
#define NOTHING_THERE 0xff

/* System timer, keyboard and cascade; RTC and coprocessor: always edge-triggered. */
static const uint8_t elcr_writable[2] = { [MASTER] = 0xf8, [SLAVE] = 0xde };

void pic_reset(struct pic *pic)
{
    memset(pic, 0, sizeof *pic);
    for (unsigned i = 0; i < 2; i++) {
        pic->chip[i].lowest = PIC_IRQS_PER_CHIP - 1;
        pic->chip[i].imr = 0xff;
    }
}

/* The input of highest priority in `set`, or NO_IRQ. */
static int highest(const struct pic_chip *chip, uint8_t set)
{
    for (unsigned i = 1; i <= PIC_IRQS_PER_CHIP; i++) {
        unsigned irq = (chip->lowest + i) % PIC_IRQS_PER_CHIP;
        if (set >> irq & 1)
            return (int)irq;
    }
    return NO_IRQ;
}

/* 0: highest. */
static unsigned priority(const struct pic_chip *chip, int irq)
{
    return ((unsigned)irq + PIC_IRQS_PER_CHIP - 1 - chip->lowest) % PIC_IRQS_PER_CHIP;
}

/*
 * The request that interrupts now. What is in service keeps requests of the same and of lower priority waiting; in
 * special mask mode only where it is not masked; and in special fully nested mode the slave's requests are not held
 * up by an earlier one of the slave's.
 */
static int highest_request(const struct pic_chip *chip)
{
    uint8_t in_service = chip->special_mask ? chip->isr & (uint8_t)~chip->imr : chip->isr;
    int request = highest(chip, chip->irr & (uint8_t)~chip->imr), serving;
    if (chip->special_fully_nested && request == CASCADE_IRQ)
        in_service &= (uint8_t)~(1u << CASCADE_IRQ);
    serving = highest(chip, in_service);
    if (request == NO_IRQ || (serving != NO_IRQ && priority(chip, request) >= priority(chip, serving)))
        return NO_IRQ;
    return request;
}

static void set_input(struct pic_chip *chip, unsigned irq, bool level)
{
    uint8_t bit = (uint8_t)(1u << irq);
    bool rises = level && !(chip->lines & bit);
    chip->lines = level ? chip->lines | bit : chip->lines & (uint8_t)~bit;
    if (chip->elcr & bit)
        chip->irr = level ? chip->irr | bit : chip->irr & (uint8_t)~bit;
    else if (rises)
        chip->irr |= bit;
}

/* The slave's output is an input of the master's that nothing latches: it follows. */
static void update_cascade(struct pic *pic)
{
    struct pic_chip *master = &pic->chip[MASTER];
    bool level = highest_request(&pic->chip[SLAVE]) != NO_IRQ;
    master->lines = level ? master->lines | 1u << CASCADE_IRQ : master->lines & ~(1u << CASCADE_IRQ);
    master->irr = level ? master->irr | 1u << CASCADE_IRQ : master->irr & ~(1u << CASCADE_IRQ);
}

void pic_set_irq(struct pic *pic, unsigned irq, bool level)
{
    if (irq >= PIC_IRQS || irq == CASCADE_IRQ)
        return;
    set_input(&pic->chip[irq / PIC_IRQS_PER_CHIP], irq % PIC_IRQS_PER_CHIP, level);
    update_cascade(pic);
}

bool pic_output(const struct pic *pic)
{
    return highest_request(&pic->chip[MASTER]) != NO_IRQ;
}

/* An INTA, or a poll, that found `irq` requested. */
static void take(struct pic_chip *chip, int irq)
{
    uint8_t bit = (uint8_t)(1u << irq);
    if (!(chip->elcr & bit))
        chip->irr &= (uint8_t)~bit;
    if (!chip->auto_eoi)
        chip->isr |= bit;
    else if (chip->rotate_on_auto_eoi)
        chip->lowest = (uint8_t)irq;
}

static uint8_t acknowledge_chip(struct pic_chip *chip, int *irq)
{
    *irq = highest_request(chip);
    if (*irq == NO_IRQ)
        return chip->vector_base + SPURIOUS_IRQ;
    take(chip, *irq);
    return chip->vector_base + (uint8_t)*irq;
}

uint8_t pic_acknowledge(struct pic *pic)
{
    int irq;
    uint8_t vector = acknowledge_chip(&pic->chip[MASTER], &irq);
    if (irq == CASCADE_IRQ)
        vector = acknowledge_chip(&pic->chip[SLAVE], &irq);
    update_cascade(pic);
    return vector;
}

/* ---- writes ---- */

static void initialize(struct pic_chip *chip, uint8_t icw1)
{
    chip->icw1 = icw1 & ICW1_KEPT;
    chip->next_icw = 2;
    chip->irr &= chip->elcr;
    chip->imr = chip->isr = 0;
    chip->lowest = PIC_IRQS_PER_CHIP - 1;
    chip->auto_eoi = chip->rotate_on_auto_eoi = chip->special_mask = chip->special_fully_nested = 0;
    chip->read_isr = chip->poll = 0;
}

/* In special mask mode a masked bit is not what a non-specific EOI means. */
static int in_service(const struct pic_chip *chip)
{
    return highest(chip, chip->special_mask ? chip->isr & (uint8_t)~chip->imr : chip->isr);
}

static void end_of_interrupt(struct pic_chip *chip, int irq, bool rotate)
{
    if (irq == NO_IRQ)
        return;
    chip->isr &= (uint8_t)~(1u << irq);
    if (rotate)
        chip->lowest = (uint8_t)irq;
}

static void write_ocw2(struct pic_chip *chip, uint8_t value)
{
    switch ((enum ocw2)OCW2_COMMAND(value)) {
    case OCW2_ROTATE_IN_AUTO_EOI_CLEAR: chip->rotate_on_auto_eoi = 0; break;
    case OCW2_ROTATE_IN_AUTO_EOI_SET: chip->rotate_on_auto_eoi = 1; break;
    case OCW2_NON_SPECIFIC_EOI: end_of_interrupt(chip, in_service(chip), false); break;
    case OCW2_ROTATE_ON_NON_SPECIFIC_EOI: end_of_interrupt(chip, in_service(chip), true); break;
    case OCW2_SPECIFIC_EOI: end_of_interrupt(chip, OCW2_LEVEL(value), false); break;
    case OCW2_ROTATE_ON_SPECIFIC_EOI: end_of_interrupt(chip, OCW2_LEVEL(value), true); break;
    case OCW2_SET_PRIORITY: chip->lowest = OCW2_LEVEL(value); break;
    case OCW2_NO_OPERATION: break;
    }
}

static void write_ocw3(struct pic_chip *chip, uint8_t value)
{
    if (value & OCW3_POLL)
        chip->poll = 1;
    if (value & OCW3_READ_REGISTER)
        chip->read_isr = value & OCW3_READ_ISR;
    if (value & OCW3_ENABLE_SPECIAL_MASK)
        chip->special_mask = (value & OCW3_SPECIAL_MASK) != 0;
}

static void write_command(struct pic_chip *chip, uint8_t value)
{
    if (value & ICW1)
        initialize(chip, value);
    else if (value & OCW3)
        write_ocw3(chip, value);
    else
        write_ocw2(chip, value);
}

/* ICW3, the cascade's wiring, is the board's: not looked at. */
static void write_data(struct pic_chip *chip, uint8_t value)
{
    bool wants_icw4 = chip->icw1 & ICW1_IC4;
    switch (chip->next_icw) {
    case 2:
        chip->vector_base = value & ICW2_BASE;
        chip->next_icw = !(chip->icw1 & ICW1_SINGLE) ? 3 : wants_icw4 ? 4 : 0;
        break;
    case 3:
        chip->next_icw = wants_icw4 ? 4 : 0;
        break;
    case 4:
        chip->auto_eoi = (value & ICW4_AUTO_EOI) != 0;
        chip->special_fully_nested = (value & ICW4_SPECIAL_FULLY_NESTED) != 0;
        chip->next_icw = 0;
        break;
    default:
        chip->imr = value;
    }
}

/* An input that becomes level-triggered follows its line; one that becomes edge-triggered has seen no edge. */
static void write_elcr(struct pic *pic, unsigned index, uint8_t value)
{
    struct pic_chip *chip = &pic->chip[index];
    uint8_t changed = (value ^ chip->elcr) & elcr_writable[index];
    chip->elcr = value & elcr_writable[index];
    chip->irr = (chip->irr & (uint8_t)~changed) | (changed & chip->elcr & chip->lines);
}

void pic_write(struct pic *pic, uint16_t port, uint8_t value)
{
    switch (port) {
    case PIC_MASTER_COMMAND: write_command(&pic->chip[MASTER], value); break;
    case PIC_MASTER_DATA: write_data(&pic->chip[MASTER], value); break;
    case PIC_SLAVE_COMMAND: write_command(&pic->chip[SLAVE], value); break;
    case PIC_SLAVE_DATA: write_data(&pic->chip[SLAVE], value); break;
    case PIC_ELCR_MASTER: write_elcr(pic, MASTER, value); break;
    case PIC_ELCR_SLAVE: write_elcr(pic, SLAVE, value); break;
    default: return;
    }
    update_cascade(pic);
}

/* ---- reads ---- */

static uint8_t poll(struct pic_chip *chip)
{
    int irq = highest_request(chip);
    chip->poll = 0;
    if (irq == NO_IRQ)
        return 0;
    take(chip, irq);
    return POLL_REQUEST | (uint8_t)irq;
}

static uint8_t read_chip(struct pic *pic, unsigned index, bool data)
{
    struct pic_chip *chip = &pic->chip[index];
    uint8_t value;
    if (!chip->poll)
        return data ? chip->imr : chip->read_isr ? chip->isr : chip->irr;
    value = poll(chip);
    update_cascade(pic);
    return value;
}

uint8_t pic_read(struct pic *pic, uint16_t port)
{
    switch (port) {
    case PIC_MASTER_COMMAND: return read_chip(pic, MASTER, false);
    case PIC_MASTER_DATA: return read_chip(pic, MASTER, true);
    case PIC_SLAVE_COMMAND: return read_chip(pic, SLAVE, false);
    case PIC_SLAVE_DATA: return read_chip(pic, SLAVE, true);
    case PIC_ELCR_MASTER: return pic->chip[MASTER].elcr;
    case PIC_ELCR_SLAVE: return pic->chip[SLAVE].elcr;
    default: return NOTHING_THERE;
    }
}

/* ---- state ---- */

static enum err refuse(char *why, size_t why_size, unsigned index, const char *field, unsigned value)
{
    snprintf(why, why_size, "section pic, chip %u, field %s: 0x%x is no state that a PIC can be in", index, field,
             value);
    return ERR_INVALID;
}

static enum err pic_check(const void *decoded, char *why, size_t why_size)
{
    const struct pic *pic = decoded;
    for (unsigned i = 0; i < 2; i++) {
        const struct pic_chip *chip = &pic->chip[i];
        if (chip->elcr & ~elcr_writable[i])
            return refuse(why, why_size, i, "elcr", chip->elcr);
        if ((chip->irr ^ chip->lines) & chip->elcr)
            return refuse(why, why_size, i, "irr", chip->irr);
        if (chip->next_icw == 1)
            return refuse(why, why_size, i, "next_icw", chip->next_icw);
        if (chip->vector_base & ~ICW2_BASE)
            return refuse(why, why_size, i, "vector_base", chip->vector_base);
    }
    return OK;
}

#define CHIP_FIELDS(n) \
    FIELD(struct pic, chip[n].irr, 0), \
    FIELD(struct pic, chip[n].imr, 0), \
    FIELD(struct pic, chip[n].isr, 0), \
    FIELD(struct pic, chip[n].lines, 0), \
    FIELD(struct pic, chip[n].elcr, 0), \
    FIELD(struct pic, chip[n].vector_base, 0), \
    FIELD(struct pic, chip[n].lowest, PIC_IRQS_PER_CHIP - 1), \
    FIELD(struct pic, chip[n].next_icw, 4), \
    FIELD(struct pic, chip[n].icw1, ICW1_KEPT), \
    FIELD(struct pic, chip[n].auto_eoi, 1), \
    FIELD(struct pic, chip[n].rotate_on_auto_eoi, 1), \
    FIELD(struct pic, chip[n].special_mask, 1), \
    FIELD(struct pic, chip[n].special_fully_nested, 1), \
    FIELD(struct pic, chip[n].read_isr, 1), \
    FIELD(struct pic, chip[n].poll, 1)

static const struct field pic_fields[] = { CHIP_FIELDS(0), CHIP_FIELDS(1) };

const struct section pic_section = {
    .name = "pic",
    .version = 1,
    .fields = pic_fields,
    .field_count = ARRAY_SIZE(pic_fields),
    .struct_size = sizeof(struct pic),
    .check = pic_check,
};
