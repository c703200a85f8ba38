/* Files of the boot volume, through EFI_SIMPLE_FILE_SYSTEM_PROTOCOL. */
#include <efi.h>
#include <efilib.h>
#include <string.h>
#include "boot/console.h"
#include "boot/pages.h"
#include "boot/volume.h"
#include "kernel/lib/util.h"

#define FOLDER "\\telepod\\"
#define INFO_MAX (sizeof(EFI_FILE_INFO) + 256 * sizeof(CHAR16)) /* FAT names have at most 255 characters */

static EFI_FILE_HANDLE root;

enum err volume_open(void *image)
{
    EFI_GUID image_guid = LOADED_IMAGE_PROTOCOL, file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
    EFI_LOADED_IMAGE *loaded;
    EFI_FILE_IO_INTERFACE *file_system;

    if (EFI_ERROR(BS->HandleProtocol(image, &image_guid, (VOID **)&loaded)) ||
        EFI_ERROR(BS->HandleProtocol(loaded->DeviceHandle, &file_system_guid, (VOID **)&file_system)) ||
        EFI_ERROR(file_system->OpenVolume(file_system, &root))) {
        say("the loader was not started from a file system that the firmware can read: no \\telepod\\ there");
        return ERR_NOT_FOUND;
    }
    return OK;
}

void volume_close(void)
{
    if (root)
        root->Close(root);
    root = NULL;
}

static enum err fail(enum err e, const char **why, const char *phrase)
{
    *why = phrase;
    return e;
}

/* Opens \telepod\NAME for reading. */
static enum err file_open(const char *name, EFI_FILE_HANDLE *file, const char **why)
{
    CHAR16 path[sizeof(FOLDER) + FILE_NAME_MAX];
    UINTN length = 0;
    EFI_STATUS status;

    for (const char *c = FOLDER; *c; c++)
        path[length++] = (CHAR16)*c;
    for (; *name && length < ARRAY_SIZE(path) - 1; name++)
        path[length++] = (CHAR16)*name;
    path[length] = 0;
    status = root->Open(root, file, path, EFI_FILE_MODE_READ, 0);
    if (status == EFI_NOT_FOUND)
        return fail(ERR_NOT_FOUND, why, "there is no such file");
    return EFI_ERROR(status) ? fail(ERR_INVALID, why, "the firmware cannot open it") : OK;
}

static enum err file_size(EFI_FILE_HANDLE file, uint64_t limit, uint64_t *size, const char **why)
{
    static UINT64 buffer[INFO_MAX / sizeof(UINT64) + 1];
    EFI_GUID guid = EFI_FILE_INFO_ID;
    EFI_FILE_INFO *info = (EFI_FILE_INFO *)buffer;
    UINTN length = sizeof(buffer);

    if (EFI_ERROR(file->GetInfo(file, &guid, &length, info)))
        return fail(ERR_INVALID, why, "the firmware cannot tell its size");
    if (info->Attribute & EFI_FILE_DIRECTORY)
        return fail(ERR_INVALID, why, "it is a folder, expected a file");
    if (info->FileSize == 0)
        return fail(ERR_RANGE, why, "it is empty");
    if (info->FileSize > limit)
        return fail(ERR_RANGE, why, "it is too large");
    *size = info->FileSize;
    return OK;
}

static enum err file_read(EFI_FILE_HANDLE file, struct boot_file *out, const char **why)
{
    UINTN length = out->size;

    if (pages_alloc(out->size, &out->base) != OK)
        return fail(ERR_NO_MEMORY, why, "there is not enough memory for it");
    if (EFI_ERROR(file->Read(file, &length, (VOID *)out->base)) || length != out->size) {
        pages_free(out->base);
        return fail(ERR_INVALID, why, "reading it failed");
    }
    return OK;
}

enum err volume_load(const char *name, uint64_t limit, struct boot_file *out, const char **why)
{
    EFI_FILE_HANDLE file;
    enum err e = file_open(name, &file, why);

    if (e != OK)
        return e;
    memset(out, 0, sizeof(*out));
    strncpy(out->name, name, sizeof(out->name) - 1);
    e = file_size(file, limit, &out->size, why);
    if (e == OK)
        e = file_read(file, out, why);
    file->Close(file);
    return e;
}
