/* Reads what vmx/controls.h judges: the VMX capability MSRs of the calling CPU. Reads only MSRs that exist there. */
#ifndef TELEPOD_VMX_CAPS_H
#define TELEPOD_VMX_CAPS_H

#include "vmx/controls.h"

void vmx_caps_read(struct vmx_caps *out);

#endif
