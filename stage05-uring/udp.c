/* SPDX-License-Identifier: MIT */
/* Datagrams. See udp.h. */
#include "udp.h"

#include <string.h>

static void describe(struct mini_datagram *slot, const void *buffer,
    size_t length, socklen_t name_length) {
    slot->part = (struct iovec){.iov_base = (void *)buffer, .iov_len = length};
    slot->header = (struct msghdr){.msg_name = &slot->peer,
        .msg_namelen = name_length,
        .msg_iov = &slot->part,
        .msg_iovlen = 1};
}

struct mini_future *mini_send_to(struct mini_datagram *slot, int fd,
    const void *buffer, size_t length, const struct sockaddr *address,
    socklen_t address_length) {
    if (address_length > sizeof slot->peer)
        address_length = 1; /* -EINVAL; with 0 it would go to the peer of a
                               connected socket */
    memcpy(&slot->peer, address, address_length);
    describe(slot, buffer, length, address_length);
    return MINI_IO(&slot->io, MINI_OP_SENDMSG, fd, &slot->header, 0, 0);
}

struct mini_future *mini_recv_from(
    struct mini_datagram *slot, int fd, void *buffer, size_t length) {
    describe(slot, buffer, length, sizeof slot->peer);
    return MINI_IO(&slot->io, MINI_OP_RECVMSG, fd, &slot->header, 0, 0);
}
