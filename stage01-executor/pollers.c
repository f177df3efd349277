/* SPDX-License-Identifier: MIT */
/* What the runtime is made of: the default options, and the rows that a turn
 * asks for work, in this order. A new subsystem adds its row. */
#include "executor.h"

const struct mini_options mini_defaults = {
    .shuffle_seed = 0,
};

const struct mini_poller *const mini_pollers[] = {
    &mini_task_poller,
    NULL,
};
