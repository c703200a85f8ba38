/*
 * May this host run that guest? Pure: compares the policy that the guest has lived under with the one that
 * this host would give, and says what is lacking in the manual's words. A policy comes from a peer: nothing
 * in it is believed.
 */
#ifndef TELEPOD_VMX_POLICY_H
#define TELEPOD_VMX_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/err.h"
#include "vmx/state.h"

#define POLICY_WHY_SIZE 160 /* room for the longest reason */

/*
 * Well-formed by itself: version, counts, order, sizes that belong together. ERR_VERSION, ERR_INVALID with
 * the reason.
 */
enum err policy_check_shape(const struct vm_policy *policy, char *why, size_t why_size);

/*
 * OK, or ERR_VERSION / ERR_INVALID for a malformed policy, or ERR_UNSUPPORTED with the first thing lacking,
 * in words: "CPUID 7.0 EBX bit 5 (AVX2)". `host_can` is what cpuid_policy_build gives here, without the
 * guest's wishes.
 */
enum err policy_compatible(const struct vm_policy *guest, const struct vm_policy *host_can,
                           bool host_has_tsc_scaling, char *why, size_t why_size);

/*
 * Whether the guest's TSC must be scaled here: the frequencies differ by more than POLICY_TSC_TOLERANCE_PPM.
 */
#define POLICY_TSC_TOLERANCE_PPM 500
bool policy_tsc_needs_scaling(uint64_t guest_tsc_hz, uint64_t host_tsc_hz);

#endif
