/*
 * images, upload, remove: the operator's side of the image store. An upload either ends with all of its bytes in place, or
 * leaves nothing: whatever the client does in the middle of it.
 */
#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"
#include "mm/page.h"
#include "net/control/handlers.h"
#include "net/control/image_store.h"

#define UPLOAD_SILENCE_MS 20000     /* a client that sends nothing for so long has gone */
#define UPLOAD_PIECE (64 * KIB)     /* bytes a read: the checksum of a piece must not hold the CPU for long */
#define FREE_SHOWN_UNIT KIB

void handle_images(struct session *session, const struct command *command)
{
    static const char *const states[] = { [IMAGE_FREE] = "", [IMAGE_ARRIVING] = "arriving", [IMAGE_READY] = "ready",
                                          [IMAGE_REMOVED] = "removed" };
    struct json *j = &session->json;

    (void)command;
    session_begin_reply(session);
    json_string(j, "pod", control_boot_info()->config.name);
    json_u64(j, "free_kib", page_free_count() * PAGE_SIZE / FREE_SHOWN_UNIT);
    json_array_begin(j, "images");
    for (uint32_t i = 0; i < IMAGES_MAX; i++) {
        const struct image *image = image_by_index(i);

        if (!image)
            continue;
        json_object_begin(j, NULL);
        json_string(j, "name", image->name);
        json_u64(j, "bytes", image->size);
        json_string(j, "from", image->uploaded ? "upload" : "boot volume");
        json_string(j, "state", states[image->state]);
        json_u64(j, "users", image->users);
        json_object_end(j);
    }
    json_array_end(j);
    session_send(session);
}

/* ---- upload ------------------------------------------------------------------------------------------------------- */

struct upload {
    uint64_t received;
    uint32_t crc;
};

/* All bytes of the file, or why not. */
static enum err receive(struct session *session, struct image *image, struct upload *upload)
{
    while (upload->received < image->size) {
        uint8_t *piece = image->bytes + upload->received;
        size_t got = 0;
        enum err e = session_read_raw(session, piece, MIN(image->size - upload->received, UPLOAD_PIECE), &got,
                                      time_after_ms(UPLOAD_SILENCE_MS));

        if (e != OK || !got)
            return e ? e : ERR_CLOSED;
        upload->crc = crc32c_update(upload->crc, piece, got);
        upload->received += got;
    }
    return OK;
}

/* Bytes of the file that are still to come would be read as commands: this session ends. */
static void give_up(struct session *session, const char *name, uint64_t size, const struct upload *upload, enum err e)
{
    log_info("control", "the upload of %s broke off after %llu of %llu bytes (%s): nothing of it is kept", name,
             (unsigned long long)upload->received, (unsigned long long)size, err_name(e));
    session_error(session, e, "the upload of %s broke off after %llu of %llu bytes: nothing of it is kept", name,
                  (unsigned long long)upload->received, (unsigned long long)size);
    session->closed = true;
}

static void reply_uploaded(struct session *session, const struct image *image, uint32_t crc)
{
    session_begin_reply(session);
    json_string(&session->json, "image", image->name);
    json_u64(&session->json, "bytes", image->size);
    json_hex(&session->json, "crc32c", crc);
    session_send(session);
}

static void receive_file(struct session *session, const struct command *command, struct image *image)
{
    const struct command_value *wanted = &command->options[OPTION_CRC32C];
    struct upload upload = { .received = 0 };
    enum err e;

    session_begin_event(session, "send");
    json_u64(&session->json, "bytes", image->size);
    session_send(session);
    e = receive(session, image, &upload);
    if (e != OK) {
        uint64_t size = image->size;

        image_discard(image);
        give_up(session, command->arguments[0].text, size, &upload, e);
        return;
    }
    if (wanted->text && wanted->number != upload.crc) {
        image_discard(image);
        session_error(session, ERR_CORRUPT, "%s came with CRC32C %08x and should have %08x: nothing of it is kept",
                      command->arguments[0].text, upload.crc, (uint32_t)wanted->number);
        return;
    }
    image_publish(image);
    log_info("control", "%s was uploaded: %llu bytes", image->name, (unsigned long long)image->size);
    reply_uploaded(session, image, upload.crc);
}

void handle_upload(struct session *session, const struct command *command)
{
    const char *name = command->arguments[0].text;
    char why[IMAGE_WHY_MAX];
    struct image *image;
    enum err e;

    if (session->kind != SESSION_TCP) {
        session_error(session, ERR_UNSUPPORTED, "an upload needs a TCP session");
        return;
    }
    e = image_create(&image, name, command->arguments[1].number, why);
    if (e != OK)
        session_error(session, e, "%s cannot be uploaded: %s", name, why);
    else
        receive_file(session, command, image);
}

void handle_remove(struct session *session, const struct command *command)
{
    const char *name = command->arguments[0].text;
    bool kept = false;
    enum err e = image_remove(name, &kept);

    if (e == ERR_NOT_FOUND) {
        session_error(session, e, "no file %s on this pod", name);
    } else if (e != OK) {
        session_error(session, e, "%s is being uploaded", name);
    } else {
        session_begin_reply(session);
        json_bool(&session->json, "in_use", kept);
        session_send(session);
    }
}
