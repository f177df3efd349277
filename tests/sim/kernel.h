/* SPDX-License-Identifier: MIT */
/* What the two halves of the simulated kernel share. Results are a count, or a
 * negative errno; -EAGAIN: not now. */
#pragma once

#include "sim.h"

#include <poll.h>
#include <sys/socket.h>

#define DESCRIPTORS 256
#define BACKLOG 64

enum kind { BELL, STREAM, LISTENER };

/** What a descriptor stands for. */
struct object {
    struct object *next; /* among all of this seed */
    enum kind kind;
    size_t count; /* bytes to be read, connections, 1 of a bell that was rung */
    unsigned rings; /* of a bell, in all */
    size_t room; /* of a stream: for that many bytes */
    char bytes[5000];
    struct object *peer; /* the stream's other end */
    bool end; /* nothing more will come */
    bool shut, closed; /* nothing more will be sent; no descriptor any more */
    bool reset;
    int error; /* of a connect */
    unsigned port;
    struct object *backlog[BACKLOG]; /* of a listener */
    unsigned users; /* requests of rings that are under way */
    unsigned others; /* descriptors of it but the first */
};

struct object *sim_object(int fd);
short sim_events(struct object *o); /* as in poll(2) */
long sim_recv(struct object *o, char *buffer, size_t length);
long sim_send(struct object *o, const char *buffer, size_t length);
long sim_accept(struct object *o);
long sim_connect(struct object *o, const void *address);
long sim_shutdown(struct object *o);
long sim_close(int fd);

/** Begins with no ring, and chooses how old the kernel is. */
void sim_rings_start(void);
