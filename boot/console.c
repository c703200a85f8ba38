/* The loader's voice, on up to three channels at once; none of them has to exist. */
#include <efi.h>
#include <efilib.h>
#include <stdarg.h>
#include <stdio.h>
#include "boot/console.h"
#include "boot/serial.h"
#include "kernel/lib/util.h"

#define LINE_MAX 320
#define PREFIX "telepod: "
#define CON_OUT_VARIABLE_MAX 1024
#define TIMER_TICKS_PER_SECOND 10000000ULL /* UEFI, "EFI_BOOT_SERVICES.SetTimer()": units of 100 ns */

static bool firmware_console;

/*
 * Does the firmware write its console to a serial port? The global variable ConOut holds the device paths of
 * all its output consoles (UEFI, "Globally Defined Variables"); a serial one has a UART node. A variable that
 * cannot be read counts as no: then the text may come twice, which is better than not at all.
 */
static bool firmware_uses_uart(void)
{
    static UINT8 paths[CON_OUT_VARIABLE_MAX];
    EFI_GUID global = EFI_GLOBAL_VARIABLE;
    UINTN size = sizeof(paths);
    UINT8 *at = paths, *end;

    if (EFI_ERROR(RT->GetVariable(L"ConOut", &global, NULL, &size, paths)))
        return false;
    end = paths + size;
    while ((UINTN)(end - at) >= sizeof(EFI_DEVICE_PATH_PROTOCOL)) {
        EFI_DEVICE_PATH_PROTOCOL *node = (EFI_DEVICE_PATH_PROTOCOL *)at;
        UINTN length = DevicePathNodeLength(node);

        if (DevicePathType(node) == MESSAGING_DEVICE_PATH && DevicePathSubType(node) == MSG_UART_DP)
            return true;
        if (length < sizeof(*node) || length > (UINTN)(end - at))
            return false;
        at += length;
    }
    return false;
}

void console_init(void)
{
    firmware_console = ST->ConOut != NULL;
    serial_init(!firmware_console || !firmware_uses_uart());
}

void console_leave_firmware(void)
{
    firmware_console = false;
    serial_init(true);
}

static void firmware_write(const char *text)
{
    CHAR16 wide[LINE_MAX + 2];
    UINTN length = 0;

    for (; *text; text++) {
        if (*text == '\n')
            wide[length++] = L'\r';
        wide[length++] = (CHAR16)*text;
    }
    wide[length] = 0;
    ST->ConOut->OutputString(ST->ConOut, wide);
}

void say(const char *format, ...)
{
    char line[LINE_MAX] = PREFIX;
    size_t used = sizeof(PREFIX) - 1;
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line + used, LINE_MAX - used - 1, format, args); /* room for the line end */
    va_end(args);
    if (length > 0)
        used += MIN((size_t)length, LINE_MAX - used - 2);
    line[used++] = '\n';
    line[used] = '\0';
    if (firmware_console)
        firmware_write(line);
    serial_write(line);
}

void console_wait_key(unsigned seconds)
{
    EFI_EVENT events[2];
    UINTN count = 0, index;

    if (!firmware_console)
        return;
    if (EFI_ERROR(BS->CreateEvent(EVT_TIMER, 0, NULL, NULL, &events[count++])))
        return;
    if (ST->ConIn) {
        ST->ConIn->Reset(ST->ConIn, FALSE); /* keys from before the sentence do not count */
        events[count++] = ST->ConIn->WaitForKey;
    }
    if (!EFI_ERROR(BS->SetTimer(events[0], TimerRelative, seconds * TIMER_TICKS_PER_SECOND)))
        BS->WaitForEvent(count, events, &index);
    BS->CloseEvent(events[0]);
}
