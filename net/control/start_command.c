/*
 * start: from a recipe, the command's options and the files of the image store to a guest that runs. What cannot be is said
 * in one sentence, with figures, before anything is taken.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/guest_config.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "net/control/departure.h"
#include "net/control/handlers.h"
#include "net/control/image_store.h"
#include "vmx/vm.h"

#define DEFAULT_MEMORY (32 * MIB)

/* A guest on its way to be: what it shall be, and the files, which stay in the store until it is made. */
struct start {
    struct guest_config config;
    struct image *image, *initrd, *disk;    /* NULL: none */
    char why[VM_REASON_MAX];
};

static enum err refuse_start(struct start *start, enum err e, const char *format, ...) __attribute__((format(printf, 3, 4)));
static enum err refuse_start(struct start *start, enum err e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(start->why, sizeof(start->why), format, args);
    va_end(args);
    return e;
}

/* ---- what the guest shall be -------------------------------------------------------------------------------------- */

static const struct guest_config *find_recipe(const char *name)
{
    const struct pod_config *config = &control_boot_info()->config;

    for (uint32_t i = 0; i < config->guest_count; i++)
        if (!strcmp(config->guests[i].name, name))
            return &config->guests[i];
    return NULL;
}

static void take_text(char *out, size_t size, const struct command *command, enum command_option option)
{
    if (command->options[option].text)
        snprintf(out, size, "%s", command->options[option].text);
}

static void take_boot_options(struct guest_config *out, const struct command *command)
{
    take_text(out->image, sizeof(out->image), command, OPTION_IMAGE);
    take_text(out->initrd, sizeof(out->initrd), command, OPTION_INITRD);
    take_text(out->cmdline, sizeof(out->cmdline), command, OPTION_CMDLINE);
}

/* The recipe, if there is one, with the command's options over it. Lengths and ranges were checked by the parser. */
static void compose(struct guest_config *out, const struct guest_config *recipe, const struct command *command)
{
    *out = recipe ? *recipe : (struct guest_config){ .memory_bytes = DEFAULT_MEMORY, .vcpus = 1, .cpu = POD_CPU_ANY };
    snprintf(out->name, sizeof(out->name), "%s", command->arguments[0].text);
    take_boot_options(out, command);
    take_text(out->disk, sizeof(out->disk), command, OPTION_DISK);
    out->memory_bytes = command_number(command, OPTION_MEMORY, out->memory_bytes);
    out->disk_bytes = command_number(command, OPTION_DISK_SIZE, out->disk_bytes);
    out->vcpus = (uint32_t)command_number(command, OPTION_VCPUS, out->vcpus);
    out->devices = (uint32_t)command_number(command, OPTION_DEVICES, out->devices);
    out->cpu = (uint32_t)command_number(command, OPTION_CPU, out->cpu);
    out->console = (uint32_t)command_number(command, OPTION_CONSOLE, out->console);
    if (command->options[OPTION_MAC].text)
        command_mac(command, out->mac);
}

/* The guest that has this MAC, here or on its way here or from here; NULL: none. */
static const struct vm *find_mac(const uint8_t mac[GUEST_MAC_BYTES])
{
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        const struct vm *vm = vm_by_index(i);

        if (vm && memcmp(vm->config.mac, mac, GUEST_MAC_BYTES) == 0)
            return vm;
    }
    return NULL;
}

/* A recipe that names the MAC keeps it, whether its guest runs or not. */
static bool is_promised(const uint8_t mac[GUEST_MAC_BYTES], const char *guest)
{
    const struct pod_config *config = &control_boot_info()->config;

    for (uint32_t i = 0; i < config->guest_count; i++) {
        const struct guest_config *recipe = &config->guests[i];

        if (memcmp(recipe->mac, mac, GUEST_MAC_BYTES) == 0 && strcmp(recipe->name, guest) != 0)
            return true;
    }
    return false;
}

static enum err settle_mac(struct start *start)
{
    struct guest_config *config = &start->config;
    const char *pod = control_boot_info()->config.name;
    char text[GUEST_MAC_TEXT_MAX];
    const struct vm *other;

    if (guest_mac_is_zero(config->mac)) {
        uint32_t attempt = 0;

        do {
            guest_mac_make(config->mac, pod, config->name, attempt++);
        } while (find_mac(config->mac) || is_promised(config->mac, config->name) || departure_has_mac(config->mac));
        return OK;
    }
    other = find_mac(config->mac);
    if (other)
        return refuse_start(start, ERR_EXISTS, "the MAC %s is the guest %s's", guest_mac_format(config->mac, text), other->name);
    if (is_promised(config->mac, config->name))
        return refuse_start(start, ERR_EXISTS, "telepod.ini gives the MAC %s to another guest",
                            guest_mac_format(config->mac, text));
    /* Whether it is still there, and on the same LAN, is not known here: the operator has named the address, and decides. */
    if (departure_has_mac(config->mac))
        log_info("control", "%s is started with the MAC %s, with which a guest went to a peer: two on one LAN do not work",
                 config->name, guest_mac_format(config->mac, text));
    return OK;
}

/* ---- its files ---------------------------------------------------------------------------------------------------- */

static enum err take_file(struct start *start, struct image **out, const char *name, const char *what)
{
    if (!*name)
        return OK;
    *out = image_take(name);
    return *out ? OK : refuse_start(start, ERR_NOT_FOUND,
                                    "this pod has no %s file %s: upload it, or see what `images` lists", what,
                                    name);
}

static enum err settle_disk(struct start *start)
{
    struct guest_config *config = &start->config;
    const uint64_t size = start->disk ? start->disk->size : 0;

    if (!config->disk_bytes)
        config->disk_bytes = ALIGN_UP(size, LARGE_PAGE_SIZE);
    if (size > config->disk_bytes)
        return refuse_start(start, ERR_RANGE, "the disk file %s has %llu bytes, and disk_size is %llu", config->disk,
                    (unsigned long long)size, (unsigned long long)config->disk_bytes);
    return OK;
}

static enum err take_files(struct start *start)
{
    const struct guest_config *config = &start->config;
    enum err e = take_file(start, &start->image, config->image, "image");

    e = e ? e : take_file(start, &start->initrd, config->initrd, "initrd");
    e = e ? e : take_file(start, &start->disk, config->disk, "disk");
    return e;
}

static void release_files(struct start *start)
{
    image_release(start->image);
    image_release(start->initrd);
    image_release(start->disk);
}

/* ---- a new guest -------------------------------------------------------------------------------------------------- */

static enum err prepare(struct start *start, const struct command *command)
{
    const char *name = command->arguments[0].text, *wrong;
    const struct guest_config *recipe = find_recipe(name);

    if (!recipe && !command->options[OPTION_IMAGE].text)
        return refuse_start(start, ERR_NOT_FOUND, "telepod.ini has no [guest %s], and no image=FILE was given", name);
    compose(&start->config, recipe, command);
    if (start->config.cpu != POD_CPU_ANY && start->config.cpu >= cpu_count())
        return refuse_start(start, ERR_RANGE, "this pod has no CPU %u, only %u", start->config.cpu, cpu_count());
    wrong = guest_config_finish(&start->config);
    return wrong ? refuse_start(start, ERR_INVALID, "%s", wrong) : settle_mac(start);
}

static struct vm_file file_of(const struct image *image)
{
    return image ? (struct vm_file){ image->bytes, image->size } : (struct vm_file){ 0 };
}

static enum err create(struct start *start, const struct command *command, struct vm **vm)
{
    enum err e = prepare(start, command);

    e = e ? e : take_files(start);
    e = e ? e : settle_disk(start);
    if (e == OK) {
        const struct vm_files files = { file_of(start->image), file_of(start->initrd), file_of(start->disk) };

        e = vm_create(vm, &start->config, &files, start->why, sizeof(start->why));
    }
    return e;
}

/* ---- a halted one ------------------------------------------------------------------------------------------------- */

/* Its machine, its disk above all, stays what it is; what it boots may be another. */
static enum err check_restart(struct start *start, const struct command *command, const struct vm *vm)
{
    static const uint64_t allowed = BIT(OPTION_IMAGE) | BIT(OPTION_INITRD) | BIT(OPTION_CMDLINE) | BIT(OPTION_PAUSED);

    if (vm->state != VM_HALTED || vm->teleporting)
        return refuse_start(start, ERR_EXISTS, "there is a guest %s already", vm->name);
    for (uint32_t i = 0; i < COMMAND_OPTIONS; i++)
        if (command->options[i].text && !(allowed & BIT(i)))
            return refuse_start(start, ERR_STATE, "there is a halted guest %s: it starts again with the machine and the disk "
                                "that it has; only image, initrd and cmdline can be others", vm->name);
    return OK;
}

static enum err restart(struct start *start, const struct command *command, struct vm *vm)
{
    struct guest_config before = vm->config;
    enum err e = check_restart(start, command, vm);

    if (e != OK)
        return e;
    start->config = vm->config;
    start->config.disk[0] = '\0';       /* what is on it is newer than the file */
    take_boot_options(&start->config, command);
    e = take_files(start);
    if (e == OK) {
        const struct vm_files files = { file_of(start->image), file_of(start->initrd), { 0 } };

        vm->config = start->config;
        memcpy(vm->config.disk, before.disk, sizeof(before.disk));
        e = vm_restart(vm, &files, start->why, sizeof(start->why));
        if (e != OK)
            vm->config = before;
    }
    return e;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static enum err make(struct start *start, const struct command *command, struct vm **vm)
{
    enum err e;

    if (!vmx_available())
        return refuse_start(start, ERR_UNSUPPORTED, "no guests on this pod: %s", vmx_unavailable_reason());
    *vm = vm_find(command->arguments[0].text);
    e = *vm ? restart(start, command, *vm) : create(start, command, vm);
    release_files(start);
    return e;
}

void handle_start(struct session *session, const struct command *command)
{
    struct start start = { .why = "" };
    struct vm *vm = NULL;
    enum err e = make(&start, command, &vm);

    if (e == OK && !command_flag(command, OPTION_PAUSED)) {
        e = vm_resume(vm);
        if (e != OK)
            refuse_start(&start, e, "it is %s", vm_state_name(vm->state));
    }
    if (e != OK) {
        session_error(session, e, "%s cannot be started: %s", command->arguments[0].text, start.why);
        return;
    }
    session_begin_reply(session);
    json_string(&session->json, "guest", vm->name);
    json_string(&session->json, "state", vm_state_name(vm->state));
    session_send(session);
}
