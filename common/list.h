/* SPDX-License-Identifier: MIT */
/**
 * @file
 * An intrusive, circular, doubly linked list: each element contains its link,
 * so that linking allocates nothing and unlinking needs no search.
 *
 * - A head is a `struct mini_list` that mini_list_init() has made point to
 *   itself.
 * - A link whose `next` is NULL is in no list: one that is zero (`{0}`), or one
 *   that was removed.
 * - A link is in one list at a time. Nothing is locked.
 *
 * The idea is the Linux kernel's `struct list_head`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/** A list's head, or one link in it. */
struct mini_list {
    struct mini_list *next; /**< in a head: the first; in no list: NULL */
    struct mini_list *prev; /**< in a head: the last */
};

/** The structure that holds LINK as its MEMBER. */
#define MINI_CONTAINER(link, type, member) \
    ((type *)(void *)((char *)(link)-offsetof(type, member)))

/** Walks a list; the body must not unlink NODE. */
#define MINI_LIST_EACH(node, head) \
    for (struct mini_list *node = (head)->next; node != (head); \
         node = node->next)

/** Makes HEAD an empty list. */
static inline void mini_list_init(struct mini_list *head) {
    head->next = head->prev = head;
}

/** True if nothing is in the list. */
static inline bool mini_list_empty(const struct mini_list *head) {
    return head->next == head;
}

/** True if LINK is in some list. */
static inline bool mini_list_linked(const struct mini_list *link) {
    return link->next != NULL;
}

/** Puts LINK, which is in no list, at the end of the list HEAD. */
static inline void mini_list_push(
    struct mini_list *head, struct mini_list *link) {
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

/** Takes LINK out of the list it is in; no effect if it is in none. */
static inline void mini_list_remove(struct mini_list *link) {
    if (!mini_list_linked(link)) return;
    link->next->prev = link->prev;
    link->prev->next = link->next;
    link->next = NULL;
}

/** Takes out and returns the first link, NULL if the list is empty. */
static inline struct mini_list *mini_list_pop(struct mini_list *head) {
    struct mini_list *first = head->next;
    if (first == head) return NULL;
    mini_list_remove(first);
    return first;
}
