/* Starts the other CPUs of the MADT, each into its idle loop. A CPU that does not come up is reported and left out. */
#ifndef TELEPOD_SMP_H
#define TELEPOD_SMP_H

#include <stdint.h>

/* kernel_phys: where KERNEL_BASE lies in memory. */
void smp_start(uint64_t kernel_phys);

#endif
