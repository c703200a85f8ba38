/*
 * A machine's console: what the guest sends on COM1 goes into a ring, and as configured to the log by lines or to
 * COM2 raw.
 */
#include <string.h>
#include "kernel/console.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

void vm_console_flush(struct vm *vm)
{
    if (vm->line_length > 0)
        log_lossy("guest", "[%s] %.*s", vm->name, (int)vm->line_length, vm->line);
    vm->line_length = 0;
}

/* Control characters would let a guest write over the pod's own lines. */
static void log_byte(struct vm *vm, char c)
{
    if (c == '\n' || vm->line_length == sizeof vm->line)
        vm_console_flush(vm);
    if (c == '\n' || c == '\r')
        return;
    vm->line[vm->line_length++] = c >= ' ' && c <= '~' ? c : '.';
}

static void put_byte(struct vm *vm, char c)
{
    vm->console[vm->console_position % VM_CONSOLE_RING] = c;
    vm->console_position++;
    if (vm->config.console == GUEST_CONSOLE_COM2)
        console_com2_write(&c, 1);
    else
        log_byte(vm, c);
}

void vm_console_output(struct vm *vm, char c)
{
    put_byte(vm, c);
    vm_notify_watchers(vm);
}

void vm_console_output_bytes(struct vm *vm, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        put_byte(vm, bytes[i]);
    vm_notify_watchers(vm);
}

size_t vm_console_read(struct vm *vm, uint64_t *position, char *buffer, size_t size)
{
    spinlock_acquire(&vm->device_lock);
    uint64_t end = vm->console_position;
    uint64_t oldest = MAX(vm->console_start, end > VM_CONSOLE_RING ? end - VM_CONSOLE_RING : 0);
    uint64_t from = *position < oldest || *position > end ? oldest : *position;
    size_t count = MIN(size, end - from);
    for (size_t i = 0; i < count; i++)
        buffer[i] = vm->console[(from + i) % VM_CONSOLE_RING];
    *position = from + count;
    spinlock_release(&vm->device_lock);
    return count;
}

size_t vm_console_write(struct vm *vm, const char *bytes, size_t size)
{
    spinlock_acquire(&vm->device_lock);
    size_t taken = 0;
    /* What is taken is in the guest's state: not while that is, or may have been, on its way to a peer. */
    if (vm_devices_live(vm))
        taken = vm_virtio_console_is_used(vm) ? vm_virtio_console_write(vm, bytes, size)
                                              : uart_receive(&vm->platform.uart, bytes, size);
    if (taken > 0)
        platform_update_lines(vm);
    spinlock_release(&vm->device_lock);
    return taken;
}

void vm_notify_watchers(struct vm *vm)
{
    spinlock_acquire(&vm->watchers_lock);
    for (unsigned i = 0; i < VM_WATCHERS_MAX; i++)
        if (vm->watchers[i])
            thread_wake(vm->watchers[i]);
    spinlock_release(&vm->watchers_lock);
}

void vm_release_watchers(struct vm *vm)
{
    spinlock_acquire(&vm->watchers_lock);
    for (unsigned i = 0; i < VM_WATCHERS_MAX; i++) {
        if (vm->watchers[i])
            thread_wake(vm->watchers[i]);
        vm->watchers[i] = NULL;
    }
    spinlock_release(&vm->watchers_lock);
}

static bool replace_watcher(struct vm *vm, struct thread *from, struct thread *to)
{
    bool found = false;
    spinlock_acquire(&vm->watchers_lock);
    for (unsigned i = 0; i < VM_WATCHERS_MAX && !found; i++) {
        found = vm->watchers[i] == from;
        if (found)
            vm->watchers[i] = to;
    }
    spinlock_release(&vm->watchers_lock);
    return found;
}

enum err vm_watch(struct vm *vm, struct thread *watcher)
{
    return !watcher || replace_watcher(vm, NULL, watcher) ? OK : ERR_BUSY;
}

void vm_unwatch(struct vm *vm, struct thread *watcher)
{
    if (watcher)
        replace_watcher(vm, watcher, NULL);
}

/* Is it one of the first few different ones? strays_lock is held. */
static bool first_time(struct vm_strays *strays, uint64_t number)
{
    for (uint32_t i = 0; i < strays->logged_count; i++)
        if (strays->logged[i] == number)
            return false;
    if (strays->logged_count == VM_STRAYS_LOGGED)
        return false;
    strays->logged[strays->logged_count++] = number;
    return true;
}

void vm_note_stray(struct vm *vm, struct vm_strays *strays, const char *what, uint64_t number)
{
    spinlock_acquire(&vm->strays_lock);
    strays->count++;
    bool say = first_time(strays, number);
    spinlock_release(&vm->strays_lock);
    if (say)
        log_info("vmx", "guest %s: %s 0x%llx%s", vm->name, what, (unsigned long long)number,
                 strays->logged_count == VM_STRAYS_LOGGED ? " (more are counted, not logged)" : "");
}
