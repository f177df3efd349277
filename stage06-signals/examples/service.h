/* SPDX-License-Identifier: MIT */
/* What the example programs of this stage have in common: how they read their
 * options, say where they listen, and end. */
#pragma once

#include "miniss.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of --OPTION, 0 to MAX; anything else ends the program. */
static inline unsigned option_number(
    const char *program, const char *option, const char *text, unsigned max) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > (long)max) {
        fprintf(stderr, "%s: --%s takes a number from 0 to %u, not '%s'\n",
            program, option, max, text);
        exit(2);
    }
    return (unsigned)value;
}

/* The value of --accept. */
static inline enum mini_accept_policy option_accept(
    const char *program, const char *text) {
    if (strcmp(text, "spread") == 0) return MINI_ACCEPT_SPREAD;
    if (strcmp(text, "reuseport") == 0) return MINI_ACCEPT_REUSEPORT;
    fprintf(stderr, "%s: --accept is spread or reuseport, not '%s'\n", program,
        text);
    exit(2);
}

/* BRACKET, if HOST has colons (IPv6): one more comes before the port. */
static inline const char *around(const char *host, const char *bracket) {
    return strchr(host, ':') ? bracket : "";
}

/* Tells scripts and people that peers can reach the program from now on. */
static inline void say_listening(const char *host, unsigned port) {
    unsigned shards = mini_shard_count();
    printf("listening on %s%s%s:%u (%s; %u shard%s)\n", around(host, "["), host,
        around(host, "]"), port, mini_io_describe(), shards,
        shards == 1 ? "" : "s");
    fflush(stdout);
}

/* What the user can do about ERROR, or "": to be printed behind its text. */
static inline const char *remedy(long error) {
    return error == -EMFILE ? "; allow more with ulimit -n" : "";
}

static inline long cannot_listen(
    const char *program, const char *host, unsigned port, long error) {
    const char *advice = remedy(error);
    if (error == -EADDRINUSE) advice = "; take another --port, 0: a free one";
    if (error == -EACCES) advice = "; take another --port, from 1024 on";
    if (error == -EADDRNOTAVAIL)
        advice = "; --host is a name or an address of this machine";
    fprintf(stderr, "%s: cannot listen on %s%s%s:%u: %s%s\n", program,
        around(host, "["), host, around(host, "]"), port, strerror((int)-error),
        advice);
    return error;
}

static inline long stops_listening(
    const char *program, const char *host, unsigned port, long error) {
    fprintf(stderr, "%s: stops listening on %s%s%s:%u: %s\n", program,
        around(host, "["), host, around(host, "]"), port,
        strerror((int)-error));
    return error;
}

/* A TCP server, from the listening socket to the cancel that ends it, with 0; or
 * until its listening sockets are broken, with an error. */
struct service {
    struct mini_future future;
    const char *program; /* its name */
    struct mini_server server;
    struct mini_server_options options;
};

static inline MINI_POLL(service) {
    struct service *self = MINI_SELF(struct service);
    MINI_BEGIN;
    int error = mini_server_open(&self->server, &self->options);
    if (error < 0)
        MINI_RETURN(cannot_listen(
            self->program, self->options.host, self->options.port, error));
    say_listening(self->options.host, self->server.port);
    MINI_AWAIT(mini_serve(&self->server));
    if (MINI_RESULT == -ECANCELED) MINI_RETURN(0);
    MINI_END(stops_listening(
        self->program, self->options.host, self->server.port, MINI_RESULT));
}

/* Runs MAIN; returns the exit status. MAIN reports its own errors; so an error
 * is reported here only if MAIN has not begun: the runtime could not start. */
static inline int run_program(const char *program, struct mini_future *main,
    const struct mini_options *options) {
    long result = mini_run(main, options);
    if (result < 0 && main->resume == 0 && result != -EPERM &&
        result != -ENOSYS && result != -EINVAL) /* of the I/O backend, which
                                                 * has said why */
        fprintf(stderr, "%s: cannot start: %s%s\n", program,
            strerror((int)-result), remedy(result));
    return result == 0 ? 0 : 1;
}
