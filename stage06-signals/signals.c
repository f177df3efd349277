/* SPDX-License-Identifier: MIT */
/* Signals, shutdown, dump. See signals.h.
 *
 * A signal handler is one more sender in the protocol of park.h: it stores what
 * the sleeper is to find, then rings. */
#include "signals.h"

#include "smp.h"
#include "timer.h"

#include <unistd.h>

#define DRAIN MINI_SECOND /* without options.drain */
#define SIGNALS 64
#define BIT(signal) (UINT64_C(1) << ((signal)-1)) /* sets are words of these */
#define DEADLY (BIT(SIGINT) | BIT(SIGTERM)) /* a second one kills */
#define ENDING (DEADLY | BIT(SIGHUP))
/* Caught from the start, so that none is missed; others from the first wait. */
#define CAUGHT \
    (ENDING | BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGCHLD) | BIT(SIGPIPE))

/* Nobody can wait for these: the system does not let them be caught, or a
 * handler would return to the fault that raised them. */
#define FAULTS (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL))
#define NEVER (FAULTS | BIT(SIGKILL) | BIT(SIGSTOP))

/* The process's: owned by one mini_run, written by handlers on any thread. */
static struct {
    _Atomic(struct mini_executor *) owner;
    atomic_uint_least64_t came; /* signals that no turn has seen yet */
    atomic_bool ending; /* a SIGINT or SIGTERM has come: the next one kills */
    atomic_uint inside; /* handlers that run now, on any thread */
    _Atomic(pid_t) pid; /* in a forked child the default applies */
    uint64_t caught; /* signals whose handler is ours; shard 0's */
    uint64_t unclaimed; /* signals that came when nobody waited; shard 0's */
    struct mini_list waiters; /* shard 0's */
    struct sigaction before[SIGNALS];
} signals;

/* ---- catching: async-signal-safe ---- */

static void handle(int signal) {
    int error = errno;
    atomic_fetch_add(&signals.inside, 1); /* before it looks at the owner */
    struct mini_executor *owner = atomic_load(&signals.owner);
    if (!owner || getpid() != signals.pid ||
        (BIT(signal) & DEADLY && atomic_exchange(&signals.ending, true))) {
        struct sigaction standard = {.sa_handler = SIG_DFL};
        if (owner) sigaction(signal, &standard, NULL);
        raise(signal); /* comes when the handler ends and unblocks it */
    } else {
        atomic_fetch_or(&signals.came, BIT(signal));
        mini_bell_ring(&owner->parker.bell);
    }
    atomic_fetch_sub(&signals.inside, 1);
    errno = error;
}

/* A signal that was ignored stays so, see nohup(1), until it is WAITED for. */
static void catch_all(uint64_t set, bool waited) {
    struct sigaction ours = {.sa_handler = handle, .sa_flags = SA_RESTART};
    struct sigaction *before = signals.before;
    for (int signal = 1; signal <= SIGNALS; signal++, before++)
        if (set & ~signals.caught & BIT(signal) &&
            sigaction(signal, NULL, before) == 0 &&
            (waited || before->sa_handler != SIG_IGN) &&
            sigaction(signal, &ours, NULL) == 0)
            signals.caught |= BIT(signal);
}

/* ---- waiting for one: on shard 0 ---- */

static bool is_owner(struct mini_executor *executor) {
    return atomic_load(&signals.owner) == executor;
}

static MINI_POLL(signal_poll) {
    struct mini_signal_wait *self =
        MINI_CONTAINER(future, struct mini_signal_wait, wait.future);
    if (!self->set) return mini_ready(future, -EINVAL);
    if (!is_owner(mini_self)) return mini_ready(future, -EBUSY);
    if (!future->resume && !cx.cancel) {
        uint64_t there = signals.unclaimed & self->set;
        signals.unclaimed &= ~(there & -there); /* the first is claimed */
        if (there) return mini_ready(future, __builtin_ctzll(there) + 1);
        catch_all(self->set, true);
        if (self->set & DEADLY)
            atomic_store(&signals.ending, false); /* the next one comes here */
    }
    bool waited = future->resume;
    mini_poll answer = mini_wait_in(&signals.waiters, &self->wait, cx);
    mini_self->outside += (answer == MINI_PENDING) - waited;
    return answer;
}

struct mini_future *mini_signal_wait(
    struct mini_signal_wait *slot, const sigset_t *set) {
    struct mini_future *inner = MINI_MAKE(&slot->wait, signal_poll);
    slot->set = 0;
    for (int signal = 1; signal <= SIGNALS; signal++)
        if (sigismember(set, signal) == 1) slot->set |= BIT(signal) & ~NEVER;
    return mini_spawn_on(&slot->remote, 0, inner);
}

/* ---- delivering ---- */

/* Each waiter is served the first of those that it waits for. */
static unsigned look(struct mini_executor *executor) {
    if (!is_owner(executor) || !atomic_load(&signals.came)) return 0;
    uint64_t came = atomic_exchange(&signals.came, 0), claimed = 0;
    struct mini_list *link = signals.waiters.next, *following;
    for (; link != &signals.waiters; link = following) {
        struct mini_signal_wait *waiter =
            MINI_CONTAINER(link, struct mini_signal_wait, wait.link);
        uint64_t there = came & waiter->set;
        following = link->next;
        if (!there) continue;
        claimed |= there & -there;
        mini_wait_serve(&waiter->wait, __builtin_ctzll(there) + 1);
    }
    signals.unclaimed |= came & ~claimed;
    if (came & ~claimed & ENDING) mini_shutdown();
    if (came & BIT(SIGUSR1)) mini_dump_all();
    return 1;
}

/* ---- start and stop ---- */

static int start(struct mini_executor *executor) {
    struct mini_executor *nobody = NULL;
    if (executor->shard->index != 0 ||
        !atomic_compare_exchange_strong(&signals.owner, &nobody, executor))
        return 0;
    mini_list_init(&signals.waiters);
    signals.pid = getpid();
    signals.unclaimed = 0;
    atomic_store(&signals.came, 0);
    atomic_store(&signals.ending, false);
    catch_all(CAUGHT, false);
    return 0;
}

static void stop(struct mini_executor *executor) {
    if (!is_owner(executor)) return;
    for (int signal = 1; signal <= SIGNALS; signal++)
        if (signals.caught & BIT(signal))
            sigaction(signal, &signals.before[signal - 1], NULL);
    signals.caught = 0;
    atomic_store(&signals.owner, NULL); /* before it looks who is inside */
    while (atomic_load(&signals.inside) > 0) sched_yield();
}

const struct mini_poller mini_signal_poller = {
    .start = start, .stop = stop, .turn = look};

/* ---- the end of a run ---- */

void mini_shutdown(void) {
    atomic_store(&mini_self->shard->smp->graceful, true);
    mini_stop();
}

/* Tasks of other shards may call this shard, so it stays until all shards are
 * drained. No turn follows that, so none finds LIMIT in the wheel. */
void mini_linger(struct mini_executor *executor) {
    struct mini_timer limit = {0};
    uint64_t drain = executor->options.drain;
    if (!atomic_load(&executor->shard->smp->graceful)) return;
    mini_timer_start(executor, &limit, mini_from_now(drain ? drain : DRAIN));
    while (!mini_drained(executor) && mini_list_linked(&limit.link))
        mini_step(executor);
}
