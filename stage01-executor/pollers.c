/* SPDX-License-Identifier: MIT */
/* What the runtime is made of: the defaults, and a turn, row by row: whoever
 * has something to do in it, in this order. A new subsystem adds its line. */
#include "executor.h"

const struct mini_options mini_defaults = {
    .shuffle_seed = 0,
};

const struct mini_poller *const mini_pollers[] = {
    &mini_task_poller,
    NULL,
};
