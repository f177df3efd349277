/* SPDX-License-Identifier: MIT */
/* The model of atomic memory: what a load may see, and what a store lets others
 * see. See checker.h for the rules. */
#include "model.h"

struct place places[PLACES];
int place_count;
static struct set earlier[STEPS]; /* what must come before a seq_cst step */

static uint64_t memory_at(const void *address, unsigned bytes) {
    uint64_t value = 0;
    memcpy(&value, address, bytes); /* little-endian */
    return value;
}

static int place_of(const struct operation *next) {
    int i = 0;
    uint64_t value = memory_at(next->address, next->bytes);
    while (i < place_count && places[i].address != next->address) i++;
    limit(i < PLACES, "PLACES");
    struct place *place = &places[i];
    if (i == place_count) {
        place_count++;
        memset(place, 0, offsetof(struct place, messages));
        place->address = next->address;
        place->newest = -1;
    } else if (place->messages[place->newest].value == value) {
        return i;
    } /* else it was plainly initialised again */
    place->messages[++place->newest] =
        (struct message){.value = value, .seq_cst = -1};
    return i;
}

/* ---- the one order of all seq_cst steps ---- */

static bool has(const struct set *set, int step) {
    return set->words[step / 64] >> step % 64 & 1;
}
static void insert(struct set *set, int step) {
    set->words[step / 64] |= UINT64_C(1) << step % 64;
}
static void unite(struct set *set, const struct set *other) {
    for (int i = 0; i < STEPS / 64; i++) set->words[i] |= other->words[i];
}

/* SET, and all that must come before one in it. What comes before one that does
 * need not be added again. */
static struct set with_earlier(const struct set *set) {
    struct set all = *set, before = {0};
    for (int w = STEPS / 64 - 1; w >= 0; w--)
        for (uint64_t left; (left = set->words[w] & ~before.words[w]);) {
            int step = w * 64 + 63 - __builtin_clzll(left);
            unite(&before, &earlier[step]);
            insert(&before, step);
        }
    unite(&all, &before);
    return all;
}

/* A seq_cst load by who knows VIEW: must a newer message than this one have
 * come before it? */
static bool is_overtaken(
    const struct view *view, const struct place *place, int message) {
    struct set known = view->seq_cst;
    if (message == place->newest) return false;
    unite(&known, &place->messages[message].view.seq_cst);
    known = with_earlier(&known);
    for (int i = message + 1; i <= place->newest; i++)
        if (place->messages[i].seq_cst >= 0 &&
            has(&known, place->messages[i].seq_cst))
            return true;
    return false;
}

/* STEP is seq_cst, at PLACE, by who knows VIEW: after all that it knows; a
 * store after all steps there so far; a load that took MESSAGE before those
 * that stored newer ones. */
static void put_in_order(int step, bool writes, const struct view *view,
    const struct place *place, int message) {
    earlier[step] = with_earlier(&view->seq_cst);
    if (writes) {
        struct set others = with_earlier(&place->seq_cst);
        unite(&earlier[step], &others);
        return;
    }
    struct set before = earlier[step];
    insert(&before, step);
    for (int i = message + 1; i <= place->newest; i++) {
        int later = place->messages[i].seq_cst;
        for (int other = 0; later >= 0 && other < step; other++)
            if (other == later || has(&earlier[other], later))
                unite(&earlier[other], &before);
    }
}

/* ---- views ---- */

static void join(struct view *view, const struct view *other) {
    for (int i = 0; i < place_count; i++)
        if (other->message[i] > view->message[i])
            view->message[i] = other->message[i];
    for (int i = 0; i < thread_count; i++)
        if (other->clock[i] > view->clock[i]) view->clock[i] = other->clock[i];
    unite(&view->seq_cst, &other->seq_cst);
}

static bool acquires(enum order order) {
    return order != RELAXED && order != RELEASE;
}
static bool releases(enum order order) { return order >= RELEASE; }

/* Which messages can THREAD's next operation take? Newest first. */
int alternatives(struct thread *thread, uint8_t *messages) {
    const struct operation *next = &thread->next;
    int index = place_of(next), count = 0;
    const struct place *place = &places[index];
    int oldest = thread->view.message[index], newest = place->newest;
    uint64_t value = place->messages[newest].value;
    enum order order = next->kind == COMPARE ? next->failure : next->order;
    if (next->kind == STORE || next->kind == SWAP || next->kind == ADD ||
        next->kind == OR ||
        (next->kind == COMPARE && value == next->expected) ||
        (next->kind == WAIT && value == next->operand))
        messages[count++] = (uint8_t)newest;
    if (next->kind != LOAD && next->kind != COMPARE) return count;
    if (thread->last_pc == next->pc && thread->last_place == index &&
        thread->last_message >= oldest)
        oldest = thread->last_message + 1; /* it spins */
    for (int i = newest; i >= oldest; i--)
        if ((next->kind == LOAD ||
                place->messages[i].value != next->expected) &&
            (order != SEQ_CST || !is_overtaken(&thread->view, place, i)))
            messages[count++] = (uint8_t)i;
    return count;
}

uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

uint64_t stored(const struct operation *operation, uint64_t old) {
    uint64_t value = operation->operand;
    if (operation->kind == ADD) value += old;
    if (operation->kind == OR) value |= old;
    if (operation->bytes == 8) return value;
    return value & ((UINT64_C(1) << 8 * operation->bytes) - 1);
}

/* THREAD makes its next step, and takes MESSAGE. */
void make_step(struct thread *thread, int message) {
    const struct operation *next = &thread->next;
    int index = place_of(next);
    struct place *place = &places[index];
    const struct message *taken = &place->messages[message];
    bool fails = next->kind == COMPARE && taken->value != next->expected;
    bool reads = next->kind != STORE;
    bool writes = next->kind != LOAD && next->kind != WAIT && !fails;
    enum order order = fails ? next->failure : next->order;
    struct view *view = &thread->view;
    uint64_t value = stored(next, taken->value);
    steps[step_count++] = (struct step){(int)(thread - threads), message,
        place->newest, *next, taken->value, value,
        place->messages[place->newest].value, reads, writes, calm};
    if (reads && message > view->message[index])
        view->message[index] = (uint8_t)message;
    if (reads && acquires(order)) join(view, &taken->view);
    int step = step_count - 1;
    earlier[step] = (struct set){0};
    if (order == SEQ_CST) {
        put_in_order(step, writes, view, place, message);
        insert(&view->seq_cst, step);
        insert(&place->seq_cst, step);
    }
    if (writes) {
        if (place->newest + 1 == MESSAGES) {
            strcpy(failure, "no end in sight: somebody stores for ever");
            return;
        }
        struct message *sent = &place->messages[++place->newest];
        *sent = (struct message){
            .value = value, .seq_cst = order == SEQ_CST ? step : -1};
        view->message[index] = (uint8_t)place->newest;
        if (releases(order)) sent->view = *view;
        if (reads) join(&sent->view, &taken->view); /* release sequence */
        memcpy((void *)(uintptr_t)next->address, &value, next->bytes);
    }
    place->accessed[thread - threads] = view->clock[thread - threads]++;
    thread->result = taken->value;
    thread->last_pc = writes ? NULL : next->pc;
    thread->last_place = index;
    thread->last_message = message;
    thread->history = mix(thread->history, (uintptr_t)next->address);
    thread->history = mix(thread->history,
        (uint64_t)(writes ? place->newest + MESSAGES : message));
}
