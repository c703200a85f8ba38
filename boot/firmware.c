/* The memory map, ACPI, the framebuffer and the end of boot services. References: UEFI specification, by
   title. */
#include <efi.h>
#include <efilib.h>
#include <string.h>
#include "boot/console.h"
#include "boot/firmware.h"
#include "boot/memory_map.h"
#include "boot/pages.h"
#include "kernel/lib/util.h"

#define EXIT_ATTEMPTS_MAX 8
/* The map grows by an entry or two whenever something is allocated: room for that. */
#define MAP_SLACK_ENTRIES 16
#define BYTES_PER_PIXEL 4

static struct efi_map {
    uint64_t base;           /* LOADER memory */
    UINTN capacity, size;    /* bytes */
    UINTN key;
    UINTN entry_size;        /* the firmware's, at least sizeof(EFI_MEMORY_DESCRIPTOR) */
} map;

/* UEFI, "Memory Type Usage after ExitBootServices()". What is not listed is RESERVED. */
static const uint8_t type_of[EfiMaxMemoryType] = {
    [EfiLoaderCode] = BOOT_MEMORY_LOADER,
    [EfiLoaderData] = BOOT_MEMORY_LOADER,
    [EfiBootServicesCode] = BOOT_MEMORY_USABLE,
    [EfiBootServicesData] = BOOT_MEMORY_USABLE,
    [EfiConventionalMemory] = BOOT_MEMORY_USABLE,
    [EfiACPIReclaimMemory] = BOOT_MEMORY_ACPI,
    [EfiACPIMemoryNVS] = BOOT_MEMORY_ACPI,
};

uint64_t firmware_find_rsdp(void)
{
    static const EFI_GUID versions[] = { ACPI_20_TABLE_GUID, ACPI_TABLE_GUID };

    for (UINTN v = 0; v < ARRAY_SIZE(versions); v++) {
        for (UINTN i = 0; i < ST->NumberOfTableEntries; i++) {
            if (memcmp(&ST->ConfigurationTable[i].VendorGuid, &versions[v], sizeof(EFI_GUID)) == 0)
                return (uint64_t)ST->ConfigurationTable[i].VendorTable;
        }
    }
    return 0;
}

/* False: a mode that cannot be drawn in with plain stores of 32-bit pixels. */
static bool framebuffer_of(const EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE *mode, struct boot_framebuffer *out)
{
    static const struct { EFI_GRAPHICS_PIXEL_FORMAT gop; enum boot_pixel_format boot; } formats[] = {
        { PixelRedGreenBlueReserved8BitPerColor, BOOT_PIXEL_RGBX },
        { PixelBlueGreenRedReserved8BitPerColor, BOOT_PIXEL_BGRX },
    };

    if (!mode || !mode->Info || mode->FrameBufferBase == 0)
        return false;
    for (UINTN i = 0; i < ARRAY_SIZE(formats); i++) {
        const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info = mode->Info;
        uint64_t pitch = (uint64_t)info->PixelsPerScanLine * BYTES_PER_PIXEL;

        if (info->PixelFormat != formats[i].gop || info->PixelsPerScanLine < info->HorizontalResolution)
            continue;
        if (pitch * info->VerticalResolution > mode->FrameBufferSize)
            continue;
        *out = (struct boot_framebuffer){ mode->FrameBufferBase, info->HorizontalResolution,
                                          info->VerticalResolution, (uint32_t)pitch, formats[i].boot };
        return true;
    }
    return false;
}

/* All displays are asked: the firmware's own "all consoles at once" display has no framebuffer. */
void firmware_find_framebuffer(struct boot_framebuffer *out)
{
    EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
    EFI_HANDLE *handles;
    UINTN count;

    *out = (struct boot_framebuffer){ .format = BOOT_PIXEL_NONE };
    if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles)))
        return;
    for (UINTN i = 0; i < count; i++) {
        if (!EFI_ERROR(BS->HandleProtocol(handles[i], &guid, (VOID **)&gop)) &&
            framebuffer_of(gop->Mode, out))
            break;
    }
    BS->FreePool(handles);
}

static EFI_STATUS map_fetch(void)
{
    EFI_MEMORY_DESCRIPTOR *entries = (EFI_MEMORY_DESCRIPTOR *)map.base;
    UINT32 version;

    map.size = map.capacity;
    return BS->GetMemoryMap(&map.size, entries, &map.key, &map.entry_size, &version);
}

/* Makes room for the map as it is now and as it will be. */
static enum err map_reserve(void)
{
    if (map_fetch() != EFI_BUFFER_TOO_SMALL)
        return OK;
    pages_free(map.base);
    map.base = 0;
    map.capacity = EFI_SIZE_TO_PAGES(map.size + MAP_SLACK_ENTRIES * map.entry_size) * EFI_PAGE_SIZE;
    if (pages_alloc(map.capacity, &map.base) != OK) {
        say("there is not enough memory for the firmware's memory map (%lu bytes)", map.capacity);
        map.capacity = 0;
        return ERR_NO_MEMORY;
    }
    return OK;
}

static enum err map_translate(struct boot_info *info)
{
    enum err e = OK;

    memset(info->memory, 0, sizeof(info->memory));
    info->memory_count = 0;
    for (UINTN at = 0; e == OK && at + map.entry_size <= map.size; at += map.entry_size) {
        const EFI_MEMORY_DESCRIPTOR *d = (const EFI_MEMORY_DESCRIPTOR *)(map.base + at);
        uint32_t type = d->Type < EfiMaxMemoryType ? type_of[d->Type] : BOOT_MEMORY_RESERVED;

        e = memory_map_add(info, d->PhysicalStart, d->NumberOfPages << EFI_PAGE_SHIFT, type);
    }
    if (e == OK)
        e = memory_map_finish(info);
    if (e != OK)
        say("the firmware's memory map has ranges that overlap, or more than %d of them", BOOT_MEMORY_MAX);
    return e;
}

/* Allocates nothing, so that the map's key stays good. */
static enum err map_read(struct boot_info *info)
{
    if (EFI_ERROR(map_fetch())) {
        say("the firmware does not give its memory map");
        return ERR_INVALID;
    }
    return map_translate(info);
}

enum err firmware_read_memory_map(struct boot_info *info)
{
    enum err e = map_reserve();

    return e == OK ? map_read(info) : e;
}

enum err firmware_leave(void *image, struct boot_info *info)
{
    /* An event between the two calls may change the map, and its key is stale then: once more. */
    for (unsigned attempt = 0; attempt < EXIT_ATTEMPTS_MAX; attempt++) {
        enum err e = map_read(info);

        if (e != OK)
            return e;
        EFI_STATUS status = BS->ExitBootServices(image, map.key);

        console_leave_firmware(); /* also when refused: it may have stopped drivers already */
        if (!EFI_ERROR(status))
            return OK;
    }
    say("the firmware refused to end boot services");
    return ERR_STATE;
}
