/* SPDX-License-Identifier: MIT */
/* What the runtime is made of: the default options, and the rows that a turn
 * asks for work, in this order. A new subsystem adds its row. */
#include "executor.h"
#include "timer.h"
#include "channel.h"
#include "smp.h"
#include "io.h"
#include "signals.h"

const struct mini_options mini_defaults = {
    .shuffle_seed = 0,
    .shards = 1,
};

const struct mini_poller *const mini_pollers[] = {
    &mini_timer_poller,
    &mini_inbox_poller,
    &mini_channel_poller,
    &mini_park_poller,
    &mini_task_poller,
    &mini_outbox_poller,
    &mini_io_poller,
    &mini_smp_poller,
    &mini_signal_poller,
    NULL,
};
