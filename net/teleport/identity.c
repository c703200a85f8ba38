/* Who this pod is, for its peers. */
#include "net/teleport/teleport.h"

#include <stdio.h>
#include <string.h>

#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "kernel/time.h"
#include "net/teleport/messages.h"

static char pod_name[POD_NAME_MAX];
static uint16_t pod_control_port;

void teleport_set_identity(const struct pod_config *config)
{
    snprintf(pod_name, sizeof pod_name, "%s", config->name);
    pod_control_port = config->control_port;
}

const char *teleport_pod_name(void) { return pod_name; }
uint64_t teleport_now_ns(void) { return time_to_ns(time_now()); }

/* Drawn at the first use, which follows a network packet or an operator's command: no two power-ons agree on that TSC. */
uint64_t teleport_boot_id(void)
{
    static uint64_t id;
    if (!id) {
        struct { uint64_t tsc; char name[POD_NAME_MAX]; } seed = { .tsc = time_now() };
        memcpy(seed.name, pod_name, sizeof seed.name);
        id = ((uint64_t)crc32c_update(0, &seed, sizeof seed) << 32) | BIT(31);
    }
    return id;
}

struct msg_hello teleport_hello(void)
{
    struct msg_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .version_oldest = WIRE_VERSION_OLDEST,
                               .boot_id = teleport_boot_id(), .tsc_hz = time_tsc_hz(),
                               .control_port = pod_control_port };
    memcpy(hello.pod, pod_name, sizeof hello.pod);
    return hello;
}
