/* SPDX-License-Identifier: MIT */
/* An echo server with libuv: a write is tried at once, as is usual where every
 * microsecond counts, and queued only for what did not go. */
#include "listener.h"

#include <uv.h>

struct connection {
    uv_tcp_t tcp;
    uv_write_t write;
    char buffer[BUFFER];
};

static void freed(uv_handle_t *handle) { free(handle); }

static void end(struct connection *self) {
    uv_close((uv_handle_t *)&self->tcp, freed);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    struct connection *self = (struct connection *)(void *)handle;
    (void)size;
    *buffer = uv_buf_init(self->buffer, sizeof self->buffer);
}

static void came(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

static void written(uv_write_t *write, int status) {
    struct connection *self = (struct connection *)(void *)write->handle;
    if (status < 0)
        end(self);
    else
        uv_read_start(write->handle, give_buffer, came);
}

static void came(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct connection *self = (struct connection *)(void *)stream;
    if (count == 0) return;
    if (count < 0) {
        end(self);
        return;
    }
    uv_buf_t rest = uv_buf_init(buffer->base, (unsigned)count);
    int sent = uv_try_write(stream, &rest, 1);
    if (sent == count) return;
    if (sent < 0 && sent != UV_EAGAIN) {
        end(self);
        return;
    }
    if (sent > 0) {
        rest.base += sent;
        rest.len -= (size_t)sent;
    }
    uv_read_stop(stream); /* the buffer is in use */
    uv_write(&self->write, stream, &rest, 1, written);
}

static void connected(uv_stream_t *listener, int status) {
    struct connection *self = malloc(sizeof *self);
    if (!self || status < 0) exit(1);
    uv_tcp_init(listener->loop, &self->tcp);
    if (uv_accept(listener, (uv_stream_t *)&self->tcp) < 0)
        end(self);
    else
        uv_read_start((uv_stream_t *)&self->tcp, give_buffer, came);
}

int main(void) {
    uv_tcp_t listener;
    uv_tcp_init(uv_default_loop(), &listener);
    uv_tcp_open(&listener, open_listener(SOCK_NONBLOCK));
    uv_listen((uv_stream_t *)&listener, 1024, connected);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
