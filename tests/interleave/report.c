/* SPDX-License-Identifier: MIT */
/* What the checker prints. An address of the program is printed as @HEX, one of
 * data as 0xHEX: run.py puts the line and the name there. */
#include "model.h"

static struct {
    const void *address;
    const char *name;
} names[PLACES];
static int name_count;

void model_name(const void *address, const char *name) {
    for (int i = 0; i < name_count; i++)
        if (names[i].address == address) return;
    if (name_count == PLACES) return;
    names[name_count].address = address;
    names[name_count++].name = name;
}

const char *name_of(const void *address) {
    static char buffers[4][40];
    static int turn;
    char *text = buffers[turn++ % 4];
    for (int i = 0; i < name_count; i++)
        if (names[i].address == address) return names[i].name;
    snprintf(text, sizeof buffers[0], "%p", (void *)(uintptr_t)address);
    return text;
}

/* A limit of this checker's: no verdict. */
void limit(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "checker: %s is too small\n", what);
    exit(2);
}

void forget_names(void) { name_count = 0; }

static const char *value_name(uint64_t value, unsigned bytes) {
    static char buffers[4][40];
    static int turn;
    char *text = buffers[turn++ % 4];
    if (bytes == 1) return value ? "true" : "false";
    if (bytes == 8 && value >> 32 && value < UINT64_MAX / 2)
        snprintf(text, sizeof buffers[0], "%u<<32 + %u",
            (unsigned)(value >> 32), (unsigned)value);
    else if (bytes == 8 && value > 0x400000 && value < UINT64_MAX / 2) {
        /* "receiver.sleeping" is at the start of "receiver" */
        const char *name = name_of((const void *)(uintptr_t)value);
        snprintf(
            text, sizeof buffers[0], "&%.*s", (int)strcspn(name, "."), name);
    } else
        snprintf(text, sizeof buffers[0], "%lld", (long long)value);
    return text;
}

static void print_step(int number, const struct step *step) {
    static const char *const orders[] = {
        "relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
    const struct operation *what = &step->operation;
    char text[200];
    const char *name = name_of(what->address);
    const char *read = value_name(step->read, what->bytes);
    const char *written = value_name(step->written, what->bytes);
    enum order order =
        what->kind == COMPARE && !step->writes ? what->failure : what->order;
    if (what->kind == WAIT)
        snprintf(text, sizeof text, "has waited for %s", name);
    else if (step->writes && step->reads)
        snprintf(text, sizeof text, "%s: %s -> %s", name, read, written);
    else if (step->writes)
        snprintf(text, sizeof text, "%s = %s", name, written);
    else if (what->kind == COMPARE)
        snprintf(text, sizeof text, "%s is %s, not %s", name, read,
            value_name(what->expected, what->bytes));
    else
        snprintf(text, sizeof text, "%s is %s", name, read);
    if (step->message < step->newest && !step->writes)
        snprintf(text + strlen(text), sizeof text - strlen(text),
            ", not yet %s", value_name(step->newest_value, what->bytes));
    printf("%3d  %-8s  %-40s %-7s  @%lx\n", number, threads[step->thread].name,
        text, what->kind == WAIT ? "" : orders[order], line_of(what->pc));
}

void print_steps(void) {
    for (int i = 0; i < step_count; i++)
        if (!steps[i].calm) print_step(i + 1, &steps[i]);
}
