/*
 * Addresses and frame numbers as types of their own: mixing a guest-physical with a host-physical address does not compile.
 * A frame number counts 4 KiB frames.
 */
#ifndef TELEPOD_ADDR_H
#define TELEPOD_ADDR_H

#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096UL
#define PAGE_MASK (PAGE_SIZE - 1)
#define LARGE_PAGE_SHIFT 21
#define LARGE_PAGE_SIZE (1UL << LARGE_PAGE_SHIFT)
#define PAGES_PER_LARGE_PAGE (LARGE_PAGE_SIZE / PAGE_SIZE)
#define KIB 1024UL
#define MIB (1024UL * KIB)
#define GIB (1024UL * MIB)

struct gpa { uint64_t raw; }; /* guest-physical address */
struct hpa { uint64_t raw; }; /* host-physical address */
struct gfn { uint64_t raw; }; /* guest frame number */
struct hfn { uint64_t raw; }; /* host frame number */

static inline struct gfn gpa_to_gfn(struct gpa a) { return (struct gfn){ a.raw >> PAGE_SHIFT }; }
static inline struct gpa gfn_to_gpa(struct gfn n) { return (struct gpa){ n.raw << PAGE_SHIFT }; }
static inline struct hfn hpa_to_hfn(struct hpa a) { return (struct hfn){ a.raw >> PAGE_SHIFT }; }
static inline struct hpa hfn_to_hpa(struct hfn n) { return (struct hpa){ n.raw << PAGE_SHIFT }; }

#endif
