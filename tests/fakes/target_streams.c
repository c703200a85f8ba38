/*
 * Part of target_pod.c: the pod's ends of the connections, and what must be true of each answer that it gives. For that there
 * is a story for each epoch of each source.
 */
#define EPOCHS_MAX 256
struct story {
    uint64_t boot_id, epoch;
    bool committed, ran;
    bool never;                           /* the pod said that it never ran, and never will */
    bool handed_over;                     /* the pod said that it is its own now */
};
static struct story stories[EPOCHS_MAX];
static uint32_t story_count;

static struct story *story_of(uint64_t boot_id, uint64_t epoch)
{
    for (uint32_t i = 0; i < story_count; i++)
        if (stories[i].boot_id == boot_id && stories[i].epoch == epoch)
            return &stories[i];
    promise(story_count < EPOCHS_MAX, "a test of few epochs");
    stories[story_count] = (struct story){ .boot_id = boot_id, .epoch = epoch };
    return &stories[story_count++];
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

struct stream {
    struct link *link;
    uint8_t *bytes;                       /* from the source */
    size_t size, at;
    bool peer_closed, timed_out;
    uint32_t sequence;                    /* of the pod's records */
    struct thread *waiter;
};

static struct stream *accepting[POD_LINKS];
static uint32_t accepting_count;
static struct thread *acceptor;
static uint32_t live_streams;

static void wake(struct thread **waiter)
{
    if (*waiter)
        (*waiter)->blocked = false;
    *waiter = NULL;
}

enum err stream_listen(struct stream_listener **out, uint16_t port)
{
    (void)port;
    *out = (struct stream_listener *)&accepting_count;
    return OK;
}
void stream_listener_close(struct stream_listener *listener) { (void)listener; }

enum err stream_accept(struct stream_listener *listener, struct stream **out, uint64_t deadline)
{
    (void)listener;
    (void)deadline;
    if (!accepting_count) {
        acceptor = current;
        wait_for_test();
    }
    if (!accepting_count)
        return ERR_TIMEOUT;
    *out = accepting[0];
    memmove(accepting, accepting + 1, --accepting_count * sizeof accepting[0]);
    return OK;
}

static void take_answer(struct link *link, uint16_t type, const uint8_t *payload, uint32_t length)
{
    char why[TEXT_MAX];
    struct msg_text text;
    link->answers++;
    link->last = type;
    if (type == RECORD_STATUS) {
        promise(!message_decode(type, &link->status, payload, length, why, sizeof why), "STATUS decodes");
        struct story *story = story_of(link->boot_id, link->status.epoch);
        enum handover_status status = link->status.status;
        promise(status != STATUS_RUNNING || story->committed, "RUNNING is said after COMMIT");
        promise(status != STATUS_DISCARDED || (!story->ran && !story->handed_over), "DISCARDED is said of what never ran");
        promise(status != STATUS_WAITING || (!story->never && !story->ran), "DISCARDED and RUNNING are final");
        story->never |= status == STATUS_DISCARDED;
        story->handed_over |= status == STATUS_RUNNING;
    } else if (type == RECORD_RUNNING) {
        promise(!message_decode(type, &link->running, payload, length, why, sizeof why), "RUNNING decodes");
        story_of(link->boot_id, link->running.epoch)->handed_over = true;
        promise(story_of(link->boot_id, link->running.epoch)->committed, "RUNNING is said after COMMIT");
    } else if (type == RECORD_AUDIT_RESULT) {
        promise(!message_decode(type, &link->audit, payload, length, why, sizeof why), "AUDIT_RESULT decodes");
    } else if (type == RECORD_REFUSE || type == RECORD_ABORT) {
        promise(!message_decode(type, &text, payload, length, why, sizeof why), "REFUSE and ABORT decode");
        promise(text.text[0] != '\0', "a refusal has words");
        snprintf(link->words, sizeof link->words, "%s", text.text);
    }
}

/* A channel hands over whole records. */
enum err stream_write(struct stream *stream, const void *data, size_t size, bool push, uint64_t deadline)
{
    (void)push;
    (void)deadline;
    other_cpu();
    if (stream->peer_closed)
        return ERR_CLOSED;
    for (const uint8_t *at = data, *end = at + size; at < end;) {
        struct record_header h;
        char why[TEXT_MAX];
        promise(!record_header_get(at, stream->sequence++, &h, why, sizeof why), "the pod sends whole records");
        promise(!record_check(at, crc32c_update(0, at + RECORD_HEADER_SIZE, h.length), why, sizeof why), "with their CRC");
        take_answer(stream->link, h.type, at + RECORD_HEADER_SIZE, h.length);
        at += RECORD_HEADER_SIZE + h.length;
    }
    return OK;
}

enum err stream_read(struct stream *stream, void *buffer, size_t size, uint64_t deadline)
{
    (void)deadline;
    while (stream->size - stream->at < size) {
        if (stream->peer_closed)
            return ERR_CLOSED;
        if (stream->timed_out)
            return ERR_TIMEOUT;
        stream->waiter = current;
        wait_for_test();
    }
    memcpy(buffer, stream->bytes + stream->at, size);
    stream->at += size;
    return OK;
}

enum err stream_drain(struct stream *stream, uint64_t deadline)
{
    (void)deadline;
    thread_yield();
    while (stream->link->deaf && !stream->peer_closed) {
        stream->waiter = current;
        wait_for_test();
    }
    return stream->peer_closed ? ERR_CLOSED : OK;
}

bool stream_has_input(const struct stream *stream) { (void)stream; return true; }
bool stream_is_dead(const struct stream *stream) { return stream->peer_closed; }

static void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    stream->link->closed_by_pod = true;
    stream->link->stream = NULL;
    free(stream->bytes);
    free(stream);
    live_streams--;
}
void stream_close(struct stream *stream) { stream_free(stream); }
void stream_abort(struct stream *stream) { stream_free(stream); }
