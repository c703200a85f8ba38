/* A machine's creation, restart and end, on fakes of all its parts: what others see meanwhile, and what is said of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmx/vm.c"
#include "vmx/vm_restart.c"
#include "vmx/vm_table.c"

#define PAUSED_AT 123456u               /* the guest's TSC at its last pause */

static struct cpu this_cpu;
static struct vm *listed;
static uint64_t lack_before, lack_after;        /* MiB; before and while the memory is taken */
static bool taken;
static enum err memory_result;
static uint32_t destroyed;

/* ---- the parts ------------------------------------------------------------------------------------------------------ */

void log_error(const char *room, const char *format, ...) { (void)room, (void)format; }
uint32_t cpu_count(void) { return 1; }
struct cpu *cpu_by_index(uint32_t index) { return index ? NULL : &this_cpu; }
bool vmx_available(void) { return true; }
const char *vmx_unavailable_reason(void) { return ""; }
void thread_yield(void) {}

/* Others run while it waits for its CPU: those who list the machines follow what they find there. */
void cpu_call(struct cpu *cpu, void (*fn)(void *), void *arg)
{
    fn(arg);
    for (uint32_t i = 0; listed && i < listed->vcpu_count; i++)
        assert_ptr_equal(listed->vcpus[i]->cpu, cpu);
}

uint64_t guest_memory_missing_mib(uint64_t ram, uint64_t disk) { (void)ram, (void)disk; return taken ? lack_after : lack_before; }
enum err guest_memory_create(struct guest_memory *memory, uint64_t ram, uint64_t disk)
{
    taken = true;
    *memory = (struct guest_memory){ .size = memory_result ? 0 : ram, .disk_size = disk };
    return memory_result;
}
void guest_memory_destroy(struct guest_memory *memory) { memory->size = 0; }
enum err guest_memory_fill_frame(struct guest_memory *memory, struct gfn index, const void *data)
{
    (void)memory, (void)index, (void)data;
    return OK;
}

void vm_hold(struct vm *vm) { vm->holds++; }
void vm_release(struct vm *vm) { vm->holds--; }
enum err vcpu_create(struct vcpu **out, struct vm *vm, uint32_t index, enum apic_mode mode)
{
    (void)mode;
    *out = calloc(1, sizeof **out);
    (*out)->vm = vm;
    (*out)->index = index;
    (*out)->cpu = &this_cpu;
    return OK;
}
void vcpu_destroy(struct vcpu *vcpu) { destroyed++; free(vcpu); }
void vcpu_apply(struct vcpu *vcpu, const struct vcpu_state *state) { (void)vcpu, (void)state; }
enum err vcpu_start(struct vcpu *vcpu) { (void)vcpu; return OK; }
void vcpu_join(struct vcpu *vcpu) { (void)vcpu; }
void vm_policy_default(struct vm *vm) { (void)vm; }
void vm_clock_start(struct vm *vm) { clock_set(&vm->clock, vm->pause_guest_tsc, 0); }
void platform_init(struct vm *vm) { (void)vm; }
void vm_virtio_init(struct vm *vm) { (void)vm; }
enum err vm_virtio_start(struct vm *vm, bool arrives, char *why, size_t size)
{
    (void)vm, (void)arrives, (void)why, (void)size;
    return OK;
}
void vm_virtio_end(struct vm *vm) { (void)vm; }
enum err apicv_create(struct vm *vm) { (void)vm; return OK; }
void apicv_destroy(struct vm *vm) { (void)vm; }
void vm_console_flush(struct vm *vm) { (void)vm; }
void vm_notify_watchers(struct vm *vm) { (void)vm; }
void vm_release_watchers(struct vm *vm) { (void)vm; }
enum err vm_load(struct vm *vm, const struct image_plan *plan, const struct image_request *request, const struct vm_file *disk)
{
    (void)vm, (void)plan, (void)request, (void)disk;
    return OK;
}
struct image_request vm_image_request(const struct guest_config *config, const struct vm_files *files)
{
    return (struct image_request){ .image = files->image.bytes, .memory_bytes = config->memory_bytes };
}
enum err image_plan_make(struct image_plan *plan, const struct image_request *request, char *why, size_t why_size)
{
    (void)request, (void)why, (void)why_size;
    *plan = (struct image_plan){ .start = START_REAL };
    return OK;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

static struct guest_config config;
static char why[VM_REASON_MAX];

static int setup(void **state)
{
    (void)state;
    config = (struct guest_config){ .name = "g", .vcpus = 3, .cpu = POD_CPU_ANY, .memory_bytes = 64 * MIB };
    lack_before = lack_after = destroyed = 0;
    taken = false;
    memory_result = OK;
    listed = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (listed) {
        struct vm *vm = listed;
        listed = NULL;
        assert_int_equal(vm_destroy(vm), OK);
    }
    return 0;
}

static struct vm *create(void)
{
    struct vm *vm;
    assert_int_equal(vm_create_incoming(&vm, &config, why, sizeof why), OK);
    assert_int_equal(vm->vcpu_count, 3);
    listed = vm;
    return vm;
}

static void who_lists_it_meanwhile_finds_no_freed_vcpu(void **state)
{
    struct vm *vm = create();
    (void)state;
    vm_end_vcpus(vm);
    assert_int_equal(destroyed, 3);
    assert_int_equal(vm->vcpu_count, 0);
    vm_release(vm);
}

static void a_restarted_guest_begins_at_time_zero(void **state)
{
    struct vm *vm = create();
    const struct vm_files files = { 0 };
    (void)state;
    vm->state = VM_HALTED;
    vm->pause_guest_tsc = PAUSED_AT;    /* an operator held it, once */
    assert_int_equal(vm_restart(vm, &files, why, sizeof why), OK);
    assert_int_equal(vm->state, VM_PAUSED);
    assert_int_equal(vm->holds, 0);
    assert_int_equal(clock_guest_tsc(&vm->clock, 0), 0);
}

/* Another guest may take the memory while this one's is made. */
static void memory_that_is_not_there(void **state)
{
    struct vm *vm;
    (void)state;
    lack_before = lack_after = 7;
    assert_int_equal(vm_create_incoming(&vm, &config, why, sizeof why), ERR_NO_MEMORY);
    assert_string_equal(why, "it asks for 64 MiB of memory; with its page tables, this pod lacks 7 MiB");
    assert_false(taken);

    lack_before = 0;
    lack_after = 9;
    memory_result = ERR_NO_MEMORY;
    config.disk_bytes = 8 * MIB;
    assert_int_equal(vm_create_incoming(&vm, &config, why, sizeof why), ERR_NO_MEMORY);
    assert_string_equal(why, "it asks for 64 MiB of memory and a disk of 8 MiB; with its page tables, this pod lacks 9 MiB");

    taken = false;
    lack_after = 0;                     /* and the other one has not used it after all */
    assert_int_equal(vm_create_incoming(&vm, &config, why, sizeof why), ERR_NO_MEMORY);
    assert_string_equal(why, "it asks for 64 MiB of memory and a disk of 8 MiB; others took it while it was made");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(who_lists_it_meanwhile_finds_no_freed_vcpu),
        TEST(a_restarted_guest_begins_at_time_zero),
        TEST(memory_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
