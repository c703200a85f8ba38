/* teleport: runs the source's side in the session's thread, and tells each round as it ends. */
#include <stdio.h>
#include <stdlib.h>
#include "kernel/time.h"
#include "net/control/handlers.h"
#include "kernel/lib/util.h"
#include "net/net.h"
#include "net/teleport/teleport.h"
#include "vmx/vm.h"

#define NETWORK_WAIT_MS 15000       /* a teleport of telepod.ini may come before DHCP's answer */

struct teleport_run {
    struct session *session;
    uint32_t told;                  /* rounds */
    struct flight flight;
};

static void tell_rounds(void *context, const struct flight *flight)
{
    struct teleport_run *run = context;
    struct json *j = &run->session->json;

    for (; run->told < flight->round_count; run->told++) {
        session_begin_event(run->session, "round");
        json_string(j, "guest", flight->guest);
        flight_round_to_json(flight, run->told, j, "round");
        session_send_event_or_drop(run->session);
    }
}

static void read_options(struct teleport_options *options, const struct command *command)
{
    const char *cut = command->options[OPTION_CUT].text;

    teleport_default_options(options);
    options->address = command->peer_address;
    options->port = command->peer_port;
    options->audit = command_flag(command, OPTION_AUDIT);
    options->limits.give_up = command_flag(command, OPTION_GIVEUP);
    options->limits.downtime_ns =
        NS_PER_US * command_number(command, OPTION_DOWNTIME, options->limits.downtime_ns / NS_PER_US);
    options->limits.rounds_max = (uint32_t)command_number(command, OPTION_ROUNDS, options->limits.rounds_max);
    options->timeout_us = US_PER_MS * command_number(command, OPTION_TIMEOUT, options->timeout_us / US_PER_MS);
    options->doubt_us = US_PER_MS * command_number(command, OPTION_DOUBT, options->doubt_us / US_PER_MS);
    if (cut)
        snprintf(options->cut, sizeof(options->cut), "%s", cut);
}

static void reply_flight(struct session *session, const char *name, enum err e, const struct flight *flight)
{
    if (e == OK)
        session_begin_reply(session);
    else if (e == ERR_BUSY)
        session_begin_error(session, e, "%s is being teleported", name);
    else if (!flight->outcome)      /* not begun */
        session_begin_error(session, e, "%s cannot be teleported: %s", name, err_name(e));
    else
        session_begin_error(session, e, "%s: %s", name, flight->reason[0] ? flight->reason : err_name(e));
    if (flight->outcome)
        flight_to_json(flight, &session->json, "flight");
    session_send(session);
}

void handle_teleport(struct session *session, const struct command *command)
{
    struct teleport_options options;
    struct teleport_run *run;
    struct vm *vm;
    enum err e;

    if (!control_find_guest(session, command))
        return;
    e = net_wait_up(time_after_ms(NETWORK_WAIT_MS));
    if (e != OK) {
        session_error(session, e, "this pod has no network: %s", err_name(e));
        return;
    }
    run = calloc(1, sizeof(*run));
    if (!run) {
        session_error(session, ERR_NO_MEMORY, "no memory for a flight record");
        return;
    }
    run->session = session;
    read_options(&options, command);
    vm = control_find_guest(session, command);      /* again: it may have gone while we waited for the network */
    if (vm) {
        e = teleport_send(vm, &options, tell_rounds, run, &run->flight);
        reply_flight(session, command->arguments[0].text, e, &run->flight);
    }
    free(run);
}
