/* Part of target_pod.c: the test's ends of the connections, and records as an honest source sends them. */
void pod_connect(uint32_t index, uint64_t boot_id)
{
    struct link *link = &links[index];
    promise(!link->stream, "one connection at a time");
    uint8_t *frames = link->frames;
    *link = (struct link){ .boot_id = boot_id, .frames = frames };
    link->stream = calloc(1, sizeof *link->stream);
    link->stream->link = link;
    live_streams++;
    accepting[accepting_count++] = link->stream;
    wake(&acceptor);
}

void pod_send_bytes(uint32_t index, const void *bytes, size_t size)
{
    struct stream *stream = links[index].stream;
    if (!stream || stream->peer_closed)
        return;
    stream->bytes = realloc(stream->bytes, stream->size + size + 1);
    if (size)
        memcpy(stream->bytes + stream->size, bytes, size);
    stream->size += size;
    links[index].bytes += size;
    wake(&stream->waiter);
}

void pod_send(uint32_t index, uint16_t type, const void *payload, uint32_t length)
{
    uint8_t header[RECORD_HEADER_SIZE];
    struct link *link = &links[index];
    record_header_put(header, type, length, link->sequence++, crc32c_update(0, payload, length));
    link->digest = crc32c_update(link->digest, header + RECORD_HEADER_SIZE - 4, 4);
    pod_send_bytes(index, header, sizeof header);
    pod_send_bytes(index, payload, length);
}

void pod_send_message(uint32_t index, uint16_t type, const void *message)
{
    uint8_t wire[MESSAGE_WIRE_MAX];
    uint32_t length = message_encode(type, message, wire);
    pod_send(index, type, wire, length);
}

void pod_hang_up(uint32_t index)
{
    struct stream *stream = links[index].stream;
    if (!stream)
        return;
    stream->peer_closed = true;
    wake(&stream->waiter);
}

void pod_time_out(uint32_t index)
{
    struct stream *stream = links[index].stream;
    if (!stream)
        return;
    stream->timed_out = true;
    wake(&stream->waiter);
}

void pod_send_hello(uint32_t index)
{
    const struct msg_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .version_oldest = WIRE_VERSION_OLDEST,
                                     .boot_id = links[index].boot_id, .tsc_hz = HZ, .pod = "source" };
    pod_send_message(index, RECORD_HELLO, &hello);
}

void pod_guest_of(struct msg_guest *out, uint64_t epoch, const struct guest_config *config, enum msg_guest_state state)
{
    promise(!guest_message_make(out, config, config->memory_bytes, config->disk_bytes, state), "a guest can be described");
    out->epoch = epoch;
    out->policy = *host_policy();
}

void pod_guest(struct msg_guest *out, uint64_t epoch, const char *name, uint64_t memory_bytes)
{
    struct guest_config config = { .vcpus = 1, .memory_bytes = memory_bytes };
    snprintf(config.name, sizeof config.name, "%s", name);
    pod_guest_of(out, epoch, &config, GUEST_RUNS);
}

/* The machine keeps looking at the frames of the link that brought it: the next guest of the link gets new ones. */
static uint8_t *all_frames[EPOCHS_MAX];
static uint32_t all_frames_count;

void pod_send_guest(uint32_t index, const struct msg_guest *guest)
{
    if (!links[index].guest_sent && links[index].stream) {
        promise(all_frames_count < EPOCHS_MAX, "a test of few guests");
        links[index].frames = all_frames[all_frames_count++] = calloc(1, POD_FRAMES_MAX);
        links[index].epoch = guest->epoch;
        links[index].guest = *guest;
    }
    links[index].guest_sent = true;
    pod_send_message(index, RECORD_GUEST, guest);
}

/* What is sent after PREPARE is no part of the guest any more. */
static void note(struct link *link, uint64_t frame, uint8_t byte)
{
    link->pages++;
    if (link->guest_sent && !link->prepare_sent && link->frames && frame < POD_FRAMES_MAX)
        link->frames[frame] = byte;
}

void pod_send_page(uint32_t index, uint64_t frame, uint8_t byte)
{
    uint8_t payload[PAGE_RECORD_PAYLOAD];
    memset(payload, byte, PAGE_SIZE);
    wire_put_u64(payload + PAGE_RECORD_GFN_AT, frame);
    note(&links[index], frame, byte);
    pod_send(index, RECORD_PAGE, payload, sizeof payload);
}

void pod_send_zero(uint32_t index, const struct frame_run *runs, uint32_t count)
{
    static uint8_t payload[RECORD_PAYLOAD_MAX];
    for (uint32_t i = 0; i < count; i++) {
        frame_run_put(payload + FRAME_RUN_SIZE * i, runs[i]);
        for (uint64_t f = 0; f < MIN(runs[i].count, (uint64_t)POD_FRAMES_MAX); f++)
            note(&links[index], runs[i].first + f, 0);
    }
    pod_send(index, RECORD_ZERO, payload, count * FRAME_RUN_SIZE);
}

void pod_send_round_begin(uint32_t index, uint32_t round, uint64_t pages)
{
    const struct msg_round m = { .round = round, .pages = pages };
    links[index].round_start = links[index].bytes;
    links[index].pages = 0;
    pod_send_message(index, RECORD_ROUND_BEGIN, &m);
}

void pod_send_round_end(uint32_t index, uint32_t round)
{
    struct link *link = &links[index];
    const struct msg_round m = { .round = round, .pages = link->pages, .bytes = link->bytes - link->round_start };
    pod_send_message(index, RECORD_ROUND_END, &m);
}

void pod_send_state(uint32_t index)
{
    struct guest_config config = { .vcpus = 1 };
    if (links[index].guest_sent)
        guest_message_config(&links[index].guest, &config);
    config.vcpus = MIN(MAX(config.vcpus, 1u), (uint32_t)GUEST_VCPUS_MAX);   /* a hostile GUEST has sent anything */
    struct vm_image *image = vm_image_new(config.vcpus);
    static struct state_part parts[VM_IMAGE_PARTS_MAX];
    uint32_t count = vm_image_parts(image, &config, links[index].guest.state == GUEST_ENDED, parts);
    static uint8_t bytes[FAKE_STATE_MAX];
    for (uint32_t v = 0; v < config.vcpus; v++) {
        vcpu_state_reset(&image->vcpus[v].state, 0x8000);
        fake_apic_state(&image->vcpus[v].lapic, v);
    }
    uart_reset(&image->platform.uart);
    virtio_init_all(image->platform.virtio);
    image->clock = (struct state_clock){ 1000, HZ };
    size_t used = fake_state_write(parts, count, bytes);
    promise(used > 0, "a state is written");
    pod_send(index, RECORD_STATE, bytes, (uint32_t)used);
    free(image);
}

void pod_send_prepare(uint32_t index, uint64_t epoch)
{
    const struct msg_prepare m = { .epoch = epoch, .digest = links[index].digest, .pause_ns = now, .guest_tsc = 1000 };
    links[index].prepare_sent = true;
    pod_send_message(index, RECORD_PREPARE, &m);
}

void pod_send_epoch(uint32_t index, uint16_t type, uint64_t epoch)
{
    const struct msg_commit m = { .epoch = epoch };
    if (type == RECORD_COMMIT && links[index].stream && !links[index].stream->peer_closed)
        story_of(links[index].boot_id, epoch)->committed = true;
    pod_send_message(index, type, &m);
}

void pod_send_abort(uint32_t index, uint64_t epoch)
{
    const struct msg_text m = { .epoch = epoch, .text = "only a test" };
    pod_send_message(index, RECORD_ABORT, &m);
}

void pod_send_audit(uint32_t index, uint64_t first, uint64_t count)
{
    static uint8_t payload[FRAME_RUN_SIZE + 4 * AUDIT_FRAMES_MAX + 8];
    uint8_t page[PAGE_SIZE];
    memset(payload, 0, sizeof payload);
    frame_run_put(payload, (struct frame_run){ first, count });
    for (uint64_t i = 0; i < MIN(count, (uint64_t)AUDIT_FRAMES_MAX) && first + i < POD_FRAMES_MAX && links[index].frames; i++) {
        memset(page, links[index].frames[first + i], sizeof page);
        audit_crc_put(payload, i, crc32c_update(0, page, sizeof page));
    }
    pod_send(index, RECORD_AUDIT, payload, audit_payload_size(MIN(count, (uint64_t)AUDIT_FRAMES_MAX)));
}
