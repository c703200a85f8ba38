/* See apicv.h. */
#include "vmx/apicv.h"

#include "kernel/lib/util.h"
#include "mm/page.h"
#include "vmx/exits/exits.h"
#include "vmx/interrupts.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

static bool allowed = true;

void apicv_allow(bool value) { allowed = value; }
bool apicv_is_allowed(void) { return allowed; }

static bool apicv(void)
{
    return vmx_controls_get()->apicv;
}

/*
 * SDM 30.4 "Virtualizing Memory-Mapped APIC Accesses": one page for all vCPUs of a machine; nobody ever gets at its
 * content while all of them have the processor look after it. A machine has one of its own, because a vCPU whose APIC
 * is in another mode than its neighbours' does reach it.
 */
enum err apicv_create(struct vm *vm)
{
    if (!apicv())
        return OK;
    enum err e = page_alloc_zeroed(0, &vm->apic_access);
    if (e != OK)
        return e;
    e = ept_map_apic_page(&vm->memory.ept, (struct gpa){ LAPIC_DEFAULT_BASE }, vm->apic_access);
    if (e != OK) {
        page_free(vm->apic_access, 0);
        vm->apic_access = (struct hpa){ 0 };
        return e;
    }
    ept_show_apic_page(&vm->memory.ept, (struct gpa){ LAPIC_DEFAULT_BASE }, false);
    return OK;
}

void apicv_destroy(struct vm *vm)
{
    if (vm->apic_access.raw)
        page_free(vm->apic_access, 0);
    vm->apic_access = (struct hpa){ 0 };
}

void vcpu_apicv_init(struct vcpu *vcpu)
{
    if (!apicv())
        return;
    vmcs_write(VIRTUAL_APIC_ADDRESS, virt_to_hpa(vcpu->lapic.page).raw);
    vmcs_write(APIC_ACCESS_ADDRESS, vcpu->vm->apic_access.raw);
    vmcs_write(TPR_THRESHOLD, 0); /* of no use with virtual-interrupt delivery (SDM 30.1.2) */
}

/*
 * Does the processor virtualize this vCPU's APIC now? Not while an access to RAM may find the page missing
 * (vm->page_missing): the delivery of an interrupt may then be cut short, and for one that the processor chose by
 * itself Bochs 3.1 does not say which it was: its IDT-vectoring information is left from an earlier event.
 */
static bool uses_apicv(const struct vcpu *vcpu)
{
    return apicv() && !vcpu->vm->page_missing;
}

void apicv_reconsider(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->vcpu_count; i++) {
        vm->vcpus[i]->lapic.changed |= LAPIC_CHANGED_MODE | LAPIC_CHANGED_TRIGGERS | LAPIC_CHANGED_REQUESTS;
        vm->vcpus[i]->inject_work = true;
    }
}

/* Do the processor and the manual's default address agree where the registers are? */
static bool in_hardware_xapic(const struct lapic *lapic)
{
    return lapic_mmio_base(lapic) == LAPIC_DEFAULT_BASE;
}

/*
 * SDM 25.6.2: the two ways to virtualize the registers exclude each other. An APIC that is disabled, or whose registers
 * the guest has moved elsewhere, has neither: accesses there are EPT violations.
 */
static uint32_t secondary_controls(const struct vcpu *vcpu)
{
    const uint32_t apicv_controls = SECONDARY_APIC_REGISTER_VIRTUALIZATION | SECONDARY_VIRTUAL_INTERRUPT_DELIVERY;
    const struct lapic *lapic = &vcpu->lapic;
    uint32_t controls = vmx_controls_get()->secondary;
    if (!uses_apicv(vcpu))
        return controls & ~apicv_controls;
    if (lapic_mode(lapic) == APIC_X2APIC)
        return controls | SECONDARY_VIRTUALIZE_X2APIC_MODE;
    return in_hardware_xapic(lapic) ? controls | SECONDARY_VIRTUALIZE_APIC_ACCESSES : controls;
}

/*
 * The page is there for the guest while any of its APICs is in xAPIC mode; else an access finds nothing, as it should.
 * device_lock orders the vCPUs that change their modes at once.
 */
static void show_access_page(struct vm *vm)
{
    bool wanted = false;
    spinlock_acquire(&vm->device_lock);
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        wanted |= atomic_load(&vm->routes[i].mode) == APIC_XAPIC && uses_apicv(vm->vcpus[i]);
    bool changed = ept_show_apic_page(&vm->memory.ept, (struct gpa){ LAPIC_DEFAULT_BASE }, wanted);
    for (uint32_t i = 0; changed && i < vm->vcpu_count; i++)
        vm->vcpus[i]->invept = true;
    spinlock_release(&vm->device_lock);
    for (uint32_t i = 0; changed && i < vm->vcpu_count; i++)
        vcpu_notify(vm->vcpus[i]);
    if (changed)
        vmx_invalidate_ept(ept_pointer(&vm->memory.ept)); /* here at once: its slice goes on */
}

/* The TPR, which is CR8: in the page, or by exits. */
static void write_primary_controls(struct vcpu *vcpu)
{
    const uint32_t cr8_exiting = PRIMARY_CR8_LOAD_EXITING | PRIMARY_CR8_STORE_EXITING;
    uint32_t controls = vcpu->primary_controls & ~(cr8_exiting | PRIMARY_USE_TPR_SHADOW);
    vcpu->primary_controls = controls | (uses_apicv(vcpu) ? PRIMARY_USE_TPR_SHADOW : cr8_exiting);
    vmcs_write(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, vcpu->primary_controls);
}

static void write_mode(struct vcpu *vcpu)
{
    bool x2apic = lapic_mode(&vcpu->lapic) == APIC_X2APIC && uses_apicv(vcpu);
    write_primary_controls(vcpu);
    vmcs_write(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, secondary_controls(vcpu));
    vmcs_write(ADDRESS_OF_MSR_BITMAPS, vmx_msr_bitmap(x2apic).raw);
    show_access_page(vcpu->vm);
}

/*
 * SDM 25.6.8: the EOI of a level-triggered interrupt is the I/O APIC's business, and exits; and so does that of the
 * interrupt for whose end another one waits.
 */
static void write_eoi_exits(const struct vcpu *vcpu)
{
    static const enum vmcs_field fields[] = { EOI_EXIT_BITMAP_0, EOI_EXIT_BITMAP_1, EOI_EXIT_BITMAP_2,
                                              EOI_EXIT_BITMAP_3 };
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        uint64_t exits = (uint64_t)lapic_trigger_modes(&vcpu->lapic, 2 * i + 1) << 32 |
                         lapic_trigger_modes(&vcpu->lapic, 2 * i);
        if (vcpu->awaited_eoi && vcpu->awaited_eoi / 64u == i)
            exits |= BIT(vcpu->awaited_eoi % 64);
        vmcs_write(fields[i], exits);
    }
}

/*
 * SDM 25.4.2 "Guest Non-Register State", guest interrupt status: RVI in bits 7:0, SVI in bits 15:8. RVI stays 0 but
 * for what the TPR holds back, of which the processor alone will know when that ends (apicv.h says why).
 */
static void write_requests(struct vcpu *vcpu)
{
    uint8_t requesting = lapic_requesting_vector(&vcpu->lapic), servicing = lapic_servicing_vector(&vcpu->lapic);
    uint8_t awaited = requesting ? servicing : 0, rvi = lapic_held_by_tpr(&vcpu->lapic) ? requesting : 0;
    vmcs_write(GUEST_INTERRUPT_STATUS, (uint64_t)servicing << 8 | rvi);
    if (awaited == vcpu->awaited_eoi)
        return;
    vcpu->awaited_eoi = awaited;
    write_eoi_exits(vcpu);
}

bool vcpu_apic_covers(const struct vcpu *vcpu, uint64_t gpa)
{
    uint64_t base = lapic_mmio_base(&vcpu->lapic);
    return base && gpa / LAPIC_PAGE_SIZE == base / LAPIC_PAGE_SIZE;
}

#define REGISTER_BYTES 4u

uint64_t vcpu_apic_read(struct vcpu *vcpu, uint64_t gpa, unsigned size)
{
    uint32_t offset = (uint32_t)(gpa % LAPIC_PAGE_SIZE), skip = offset % REGISTER_BYTES;
    uint32_t value = lapic_mmio_read(&vcpu->lapic, offset - skip, vcpu_guest_tsc(vcpu));
    vcpu_lapic_changed(vcpu);
    return size < REGISTER_BYTES ? value >> 8 * skip & (BIT(8 * size) - 1) : value;
}

void vcpu_apic_write(struct vcpu *vcpu, uint64_t gpa, unsigned size, uint64_t value)
{
    if (size < REGISTER_BYTES)
        return;
    lapic_mmio_write(&vcpu->lapic, (uint32_t)(gpa % LAPIC_PAGE_SIZE), vcpu_guest_tsc(vcpu), (uint32_t)value);
    vcpu_lapic_changed(vcpu);
}

void vcpu_apic_update(struct vcpu *vcpu)
{
    uint32_t changed = vcpu->lapic.changed;
    vcpu->lapic.changed = 0;
    if (changed & LAPIC_CHANGED_ROUTE)
        vcpu_publish_route(vcpu);
    if (!apicv())
        return;
    if (changed & LAPIC_CHANGED_MODE)
        write_mode(vcpu);
    if (changed & LAPIC_CHANGED_TRIGGERS)
        write_eoi_exits(vcpu);
    if (changed & LAPIC_CHANGED_REQUESTS)
        write_requests(vcpu);
}
