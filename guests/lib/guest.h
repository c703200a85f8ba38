/*
 * What every guest gets: a start, a voice, its options, and an end. A guest defines guest_name and guest_main().
 */
#ifndef TELEPOD_GUESTS_GUEST_H
#define TELEPOD_GUESTS_GUEST_H

#include <stdbool.h>
#include <stdint.h>

extern const char guest_name[];     /* defined by the guest; begins its verdict */
void guest_main(void);              /* defined by the guest; interrupts are off. Returns: the guest has passed. */
void guest_start(void);             /* called by start.S */

void print(const char *text, ...) __attribute__((format(printf, 1, 2)));

/* Codes of the exit port. */
#define GUEST_EXIT_PASS 0
#define GUEST_EXIT_FAIL 1
#define GUEST_EXIT_UNEXPECTED 2     /* an interrupt or exception that nobody asked for */
#define GUEST_EXIT_OPTION 3         /* the command line makes no sense */

/* Ends the guest by the exit port; on a machine that has none, by a halt with interrupts off. */
_Noreturn void guest_end(unsigned code);
/* The verdict as last line, "<name>: pass" or "<name>: FAIL <what>", and the end. */
_Noreturn void guest_pass(void);
_Noreturn void guest_fail(const char *what, ...) __attribute__((format(printf, 1, 2)));
/* Fails with both numbers unless they are the same. */
void guest_expect(const char *what, uint64_t expected, uint64_t found);

/* Values from the command line. One that makes no sense ends the guest with a sentence that says which. */
uint64_t option_number(const char *key, uint64_t preset, uint64_t minimum, uint64_t maximum);
unsigned option_choice(const char *key, const char *const *words, unsigned count, unsigned preset);

/* Bytes of RAM, at most what start.S maps. */
uint64_t guest_ram_size(void);

#endif
