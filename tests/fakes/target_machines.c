/*
 * Part of target_pod.c: machines as the room knows them, with promises at each step of their lives, and the operator who
 * commands them as net/control does.
 */
#define VM_SLOTS VMS_MAX
static struct machine {
    struct vm *vm;                        /* NULL: a free slot */
    bool visible;                         /* found by its name */
    bool ran;
    const uint8_t *frames;                /* of the link that brought it */
    uint64_t boot_id, epoch;
} machines[VM_SLOTS];

static struct machine *machine_of(const struct vm *vm)
{
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        if (vm && machines[i].vm == vm)
            return &machines[i];
    promise(false, "a machine that is used is there");
    return NULL;
}

bool vmx_available(void) { return true; }
const char *vmx_unavailable_reason(void) { return ""; }

struct vm *vm_find(const char *name)
{
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        if (machines[i].vm && machines[i].visible && !strcmp(machines[i].vm->name, name))
            return machines[i].vm;
    return NULL;
}

struct vm *vm_by_index(uint32_t index)
{
    return machines[index].visible ? machines[index].vm : NULL;
}

static struct machine *reserve_name(const char *name)
{
    struct machine *free_slot_found = NULL;
    for (uint32_t i = 0; i < VM_SLOTS; i++) {
        if (!machines[i].vm)
            free_slot_found = &machines[i];
        else if (!strcmp(machines[i].vm->name, name))
            return NULL;
    }
    return free_slot_found;
}

static const struct link *link_of_caller(void)
{
    for (uint32_t i = 0; i < POD_LINKS; i++)
        if (links[i].stream && current && current->arg == links[i].stream)
            return &links[i];
    promise(false, "machines come over connections");
    return NULL;
}

enum err vm_create_incoming(struct vm **out, const struct guest_config *config, char *why, size_t why_size)
{
    snprintf(why, why_size, "there is no memory for its description");
    struct machine *m = reserve_name(config->name);
    struct vm *vm = m && !heap_is_empty() ? calloc(1, sizeof *vm) : NULL;
    if (!vm)
        return m ? ERR_NO_MEMORY : ERR_EXISTS;
    const struct link *link = link_of_caller();
    *m = (struct machine){ .vm = vm, .frames = link->frames, .boot_id = link->boot_id, .epoch = link->epoch };
    vm->config = *config;
    snprintf(vm->name, sizeof vm->name, "%s", config->name);
    vm->state = VM_INCOMING;
    vm->memory.size = config->memory_bytes;
    vm->memory.disk_size = config->disk_bytes;
    vm->memory.large_pages = calloc(1, config->memory_bytes + config->disk_bytes);
    vm->guest_tsc_hz = HZ;
    other_cpu();
    other_cpu();
    m->visible = true;
    *out = vm;
    return OK;
}

enum err vm_destroy(struct vm *vm)
{
    struct machine *m = machine_of(vm);
    if (vm->teleporting && vm->state != VM_MOVED && vm->state != VM_INCOMING)
        return ERR_BUSY;
    promise(m->visible, "a machine is destroyed once");
    m->visible = false;
    other_cpu();
    other_cpu();
    free(vm->memory.large_pages);
    free(vm);
    *m = (struct machine){ 0 };
    return OK;
}

/* What a guest finds when it enters for the first time on this pod. */
static void check_first_entry(struct machine *m)
{
    struct story *story = story_of(m->boot_id, m->epoch);
    promise(story->committed, "no guest runs before COMMIT");
    promise(!story->never, "no guest runs of which DISCARDED was said");
    promise(!story->ran, "an epoch runs once");
    story->ran = m->ran = true;
    promise(m->frames != NULL, "its source is known");
    const uint8_t *bytes = (const uint8_t *)m->vm->memory.large_pages;
    for (uint64_t f = 0; f < guest_memory_frames(&m->vm->memory); f++)
        promise(bytes[f * PAGE_SIZE] == m->frames[f] && bytes[f * PAGE_SIZE + PAGE_SIZE - 1] == m->frames[f],
                "the memory is what its source sent");
}

static void enter_later(void *machine)
{
    struct machine *m = machine;
    const struct vm *vm = m->vm;
    thread_yield();
    thread_yield();
    if (vm && m->vm == vm && m->vm->state == VM_RUNNING)
        m->vm->first_entry_tsc = time_now();
}

enum err vm_resume(struct vm *vm)
{
    struct machine *m = machine_of(vm);
    other_cpu();
    machine_of(vm);
    if (vm->state != VM_PAUSED)
        return ERR_STATE;
    if (!m->ran)
        check_first_entry(m);
    vm->state = VM_RUNNING;
    vm->first_entry_tsc = 0;
    if (pod_many_cpus)
        spawn(enter_later, m);
    else
        vm->first_entry_tsc = time_now();
    other_cpu();
    return OK;
}

struct vm_state_room {
    struct vm_image *image;
    struct state_reader reader;
    struct state_part parts[VM_IMAGE_PARTS_MAX];
};

struct vm_state_room *vm_state_room_new(struct vm *vm, bool ended)
{
    struct vm_state_room *room = malloc(sizeof *room);
    room->image = vm_image_new(vm->config.vcpus);
    virtio_init_all(room->image->platform.virtio);
    state_reader_begin(&room->reader, room->parts, vm_image_parts(room->image, &vm->config, ended, room->parts));
    return room;
}

void vm_state_room_free(struct vm_state_room *room)
{
    if (room)
        free(room->image);
    free(room);
}

enum err vm_state_read(struct vm_state_room *room, const void *buffer, size_t size, char *why, size_t why_size)
{
    return state_read(&room->reader, buffer, size, why, why_size);
}

enum err vm_state_load(struct vm *vm, struct vm_state_room *room, char *why, size_t why_size)
{
    enum err e = state_read_end(&room->reader, why, why_size);
    machine_of(vm);
    other_cpu();
    promise(machine_of(vm)->vm->state == VM_INCOMING, "state is loaded into a machine that comes in");
    return e;
}

void vm_set_guest_tsc(struct vm *vm, uint64_t guest_tsc, uint64_t host_tsc)
{
    (void)guest_tsc;
    (void)host_tsc;
    other_cpu();
    promise(machine_of(vm)->vm->state != VM_RUNNING, "the clock is set while the guest stands still");
}

/* A processor with all that a guest may ask for. */
static void read_cpuid(const void *context, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    static const uint32_t components[][2] = { [2] = { 256, 576 }, [5] = { 64, 1088 }, [6] = { 512, 1152 }, [7] = { 1024, 1664 } };
    (void)context;
    for (unsigned i = 0; i < CPUID_REGISTERS; i++)
        out[i] = UINT32_MAX;
    if (leaf == CPUID_LEAF_ADDRESS_SIZES)
        out[CPUID_EAX] = 39 | 48 << 8;
    if (leaf == CPUID_LEAF_XSAVE && subleaf >= 2) {
        out[CPUID_EAX] = subleaf < ARRAY_SIZE(components) ? components[subleaf][0] : 0;
        out[CPUID_EBX] = subleaf < ARRAY_SIZE(components) ? components[subleaf][1] : 0;
        out[CPUID_ECX] = 0;
    }
}

static const struct vm_policy *host_policy(void)
{
    static struct vm_policy policy;
    const struct cpuid_source source = { read_cpuid, NULL };
    const struct cpuid_constraints constraints = { HZ, true, true };
    if (!policy.version)
        cpuid_policy_build(&policy, &source, &constraints);
    return &policy;
}

enum err vm_policy_check(const struct vm_policy *policy, char *why, size_t why_size)
{
    return policy_compatible(policy, host_policy(), false, why, why_size);
}

enum err vm_policy_apply(struct vm *vm, const struct vm_policy *policy)
{
    machine_of(vm)->vm->guest_tsc_hz = policy->tsc_hz;
    other_cpu();
    promise(machine_of(vm)->vm->state == VM_INCOMING, "the policy is applied to a machine that comes in");
    return OK;
}

uint64_t guest_memory_missing_mib(uint64_t size, uint64_t disk)
{
    return size + disk > POD_FRAMES_MAX * PAGE_SIZE ? (size + disk) / MIB : 0;
}

const void *guest_memory_frame(const struct guest_memory *memory, struct gfn gfn)
{
    promise(gfn.raw < guest_memory_frames(memory), "frames are read inside of the memory");
    return (const uint8_t *)memory->large_pages + gfn.raw * PAGE_SIZE;
}

enum err guest_memory_fill_frame(struct guest_memory *memory, struct gfn gfn, const void *data)
{
    if (gfn.raw >= guest_memory_frames(memory))
        return ERR_RANGE;
    promise(++fills <= FILLS_WITHOUT_YIELD, "a record does not hold the CPU for long");
    uint8_t *to = (uint8_t *)memory->large_pages + gfn.raw * PAGE_SIZE;
    if (data)
        memcpy(to, data, PAGE_SIZE);
    else
        memset(to, 0, PAGE_SIZE);
    return OK;
}

/* ---- the operator ------------------------------------------------------------------------------------------------- */

static void destroy_thread(void *vm) { vm_destroy(vm); }
static void resume_thread(void *vm) { vm_resume(vm); }

/* A command runs up to its first wait without letting others run. */
static bool command(void (*fn)(void *), struct vm *vm)
{
    spawn(fn, vm);
    return pod_step(newest);
}

/* net/control: is_taken */
static struct vm *commandable(const char *name)
{
    struct vm *vm = vm_find(name);
    return !vm || vm->teleporting || vm->state == VM_INCOMING || vm->state == VM_MOVED ? NULL : vm;
}

bool pod_stop_guest(const char *name)
{
    struct vm *vm = commandable(name);
    return vm && command(destroy_thread, vm);
}

bool pod_resume_guest(const char *name)
{
    struct vm *vm = commandable(name);
    return vm && vm->state == VM_PAUSED && command(resume_thread, vm);
}

bool pod_has_guest(const char *name, bool running)
{
    const struct vm *vm = vm_find(name);
    return vm && (vm->state == VM_RUNNING) == running;
}

uint32_t pod_guest_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        count += machines[i].vm != NULL;
    return count;
}

void pod_pass(uint64_t seconds)
{
    now += seconds * NS_PER_S;
    wake(&acceptor);
    pod_run();
}
