/* SPDX-License-Identifier: MIT */
/* Signals, shutdown, dump. See signals.h.
 *
 * A signal handler is one more sender in the protocol of park.h: it stores what
 * the sleeper is to find, then rings. */
#include "signals.h"

#include "smp.h"
#include "timer.h"

#include <string.h>
#include <unistd.h>

#define DRAIN MINI_SECOND
#define BIT(signal) (UINT64_C(1) << ((signal)-1))

/* Caught from the start, so that none is missed; others from the first wait. */
static const int caught_always[] = {
    SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGPIPE};

/* The process's: owned by one mini_run, written by handlers on any thread. */
static struct {
    _Atomic(struct mini_executor *) owner;
    atomic_uint_least64_t came; /* signals that no turn has seen yet */
    atomic_bool ending; /* a SIGINT or SIGTERM has come: the next one kills */
    pid_t pid; /* a child that has not called exec is not meant */
    uint64_t caught; /* whose handler is ours; shard 0's */
    uint64_t unclaimed; /* came when nobody waited; shard 0's */
    struct mini_list waiters; /* shard 0's */
    struct sigaction before[64];
} signals;

/* ---- catching: async-signal-safe ---- */

static void die_of(int signal) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(signal, &standard, NULL);
    raise(signal); /* at the end of the handler, where it is unblocked */
}

static void handle(int signal) {
    int error = errno;
    bool ends = signal == SIGINT || signal == SIGTERM;
    struct mini_executor *owner = atomic_load(&signals.owner);
    if (signal == SIGPIPE) return;
    if (!owner || getpid() != signals.pid ||
        (ends && atomic_exchange(&signals.ending, true))) {
        die_of(signal);
    } else {
        atomic_fetch_or(&signals.came, BIT(signal));
        mini_bell_ring(&owner->parker.bell);
    }
    errno = error;
}

static void catch_signal(int signal) {
    struct sigaction ours = {.sa_handler = handle, .sa_flags = SA_RESTART};
    if (signals.caught & BIT(signal)) return;
    sigfillset(&ours.sa_mask);
    if (sigaction(signal, &ours, &signals.before[signal - 1]) == 0)
        signals.caught |= BIT(signal);
}

/* ---- waiting for one ---- */

static bool is_owner(struct mini_executor *executor) {
    return atomic_load(&signals.owner) == executor;
}

/* The first unclaimed signal of SET, which is claimed now; 0: none. */
static int claim(const sigset_t *set) {
    for (int signal = 1; signal <= 64; signal++)
        if (signals.unclaimed & BIT(signal) && sigismember(set, signal) == 1) {
            signals.unclaimed &= ~BIT(signal);
            return signal;
        }
    return 0;
}

static void begin_wait(struct mini_signal_wait *self) {
    for (int signal = 1; signal <= 64; signal++)
        if (sigismember(&self->set, signal) == 1) catch_signal(signal);
    if (sigismember(&self->set, SIGINT) == 1 ||
        sigismember(&self->set, SIGTERM) == 1)
        atomic_store(&signals.ending, false); /* the next one is theirs */
    mini_list_push(&signals.waiters, &self->link);
}

static mini_poll at_home_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_signal_wait *self =
        MINI_CONTAINER(future, struct mini_signal_wait, at_home);
    self->task = cx.task;
    if (!is_owner(cx.task->executor)) return mini_ready(future, -EBUSY);
    if (!future->resume && !cx.cancel) self->signal = claim(&self->set);
    if (self->signal) return mini_ready(future, self->signal);
    if (cx.cancel) {
        mini_list_remove(&self->link);
        return mini_ready(future, -ECANCELED);
    }
    if (!future->resume) begin_wait(self);
    future->resume = 1;
    return MINI_PENDING;
}

static mini_poll wait_poll(struct mini_future *future, struct mini_context cx) {
    struct mini_signal_wait *self = MINI_SELF(struct mini_signal_wait);
    MINI_BEGIN;
    MINI_AWAIT(mini_spawn_on(&self->remote, 0, &self->at_home));
    MINI_END(MINI_RESULT);
}

struct mini_future *mini_signal_wait(
    struct mini_signal_wait *slot, const sigset_t *set) {
    *slot = (struct mini_signal_wait){
        .future = MINI_FUTURE(wait_poll, "mini_signal_wait"),
        .at_home = MINI_FUTURE(at_home_poll, "at_home"),
        .set = *set};
    return &slot->future;
}

/* ---- what comes of one ---- */

static void dump_here(struct mini_executor *executor) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return;
    fprintf(out, "shard %u: %zu task(s)\n", mini_this_shard(), executor->alive);
    mini_dump(out);
    fclose(out);
    fputs(text, stderr); /* in one piece */
    free(text);
}

static void deliver(struct mini_smp *smp, int signal) {
    struct mini_list *link = signals.waiters.next, *following;
    bool claimed = false;
    for (; link != &signals.waiters; link = following) {
        struct mini_signal_wait *waiter =
            MINI_CONTAINER(link, struct mini_signal_wait, link);
        following = link->next;
        if (sigismember(&waiter->set, signal) != 1) continue;
        waiter->signal = signal;
        mini_list_remove(link);
        mini_wake(waiter->task);
        claimed = true;
    }
    if (!claimed) signals.unclaimed |= BIT(signal);
    if (signal == SIGUSR1) {
        atomic_fetch_add(&smp->dumps, 1);
        mini_smp_ring_all(smp);
    } else if (!claimed &&
        (signal == SIGINT || signal == SIGTERM || signal == SIGHUP)) {
        mini_shutdown();
    }
}

static unsigned look(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    unsigned work = 0;
    if (is_owner(executor) && atomic_load(&signals.came)) {
        uint64_t came = atomic_exchange(&signals.came, 0);
        for (int signal = 1; signal <= 64; signal++)
            if (came & BIT(signal)) {
                deliver(here->smp, signal);
                work++;
            }
    }
    if (atomic_load(&here->smp->dumps) != here->dumps_seen) {
        here->dumps_seen++;
        dump_here(executor);
        work++;
    }
    return work;
}

static uint64_t next(struct mini_executor *executor, uint64_t until) {
    if (until == MINI_NEVER && is_owner(executor) &&
        !mini_list_empty(&signals.waiters))
        return MINI_SOMEDAY;
    return until;
}

/* ---- start and stop ---- */

static int start(
    struct mini_executor *executor, const struct mini_options *options) {
    struct mini_executor *nobody = NULL;
    (void)options;
    if (executor->shard->index != 0 ||
        !atomic_compare_exchange_strong(&signals.owner, &nobody, executor))
        return 0;
    mini_list_init(&signals.waiters);
    signals.pid = getpid();
    signals.unclaimed = 0;
    atomic_store(&signals.came, 0);
    atomic_store(&signals.ending, false);
    for (size_t i = 0; i < sizeof caught_always / sizeof *caught_always; i++)
        catch_signal(caught_always[i]);
    return 0;
}

static void stop(struct mini_executor *executor) {
    if (!is_owner(executor)) return;
    for (int signal = 1; signal <= 64; signal++)
        if (signals.caught & BIT(signal))
            sigaction(signal, &signals.before[signal - 1], NULL);
    signals.caught = 0;
    atomic_store(&signals.owner, NULL);
}

const struct mini_poller mini_signal_poller = {
    .start = start, .stop = stop, .turn = look, .next = next};

/* ---- the end of a run ---- */

void mini_shutdown(void) {
    atomic_store(&mini_self->shard->smp->graceful, true);
    mini_stop();
}

void mini_linger(struct mini_executor *executor) {
    struct mini_smp *smp = executor->shard->smp;
    struct mini_timer limit = {0};
    uint64_t drain = smp->options.drain ? smp->options.drain : DRAIN;
    if (!atomic_load(&smp->graceful)) return;
    mini_timer_start(executor, &limit, mini_now() + drain);
    while (executor->alive > 0 && mini_list_linked(&limit.link))
        mini_step(executor);
    mini_wheel_cancel(&executor->wheel, &limit);
}
