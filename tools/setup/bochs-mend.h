/* What the mends of Bochs share. */
#ifndef TELEPOD_BOCHS_MEND_H
#define TELEPOD_BOCHS_MEND_H

/* Each reads the Bochs that we are loaded into; "mended", or "unknown": left as it is. Once, before it starts. */
const char *bochs_mend_smp(void);
const char *bochs_mend_interrupt(void);

#endif
