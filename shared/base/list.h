/* list.h - a doubly linked ring with its links inside the elements.
 *
 * The head is a struct list of its own. An element is in at most one list per link. Removing an
 * element re-initialises its link, so that list_is_linked is truthful and a second removal does
 * nothing.
 * Thread: whoever owns the head. */
#ifndef SHARED_BASE_LIST_H
#define SHARED_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/mem.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_is_linked(const struct list *link)
{
    return link->next != NULL && link->next != link;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_push_front(struct list *head, struct list *link)
{
    list_push_back(head->next, link); /* before the first one, which is the head of an empty list */
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* NULL when empty. */
static inline struct list *list_pop_front(struct list *head)
{
    if (list_is_empty(head)) {
        return NULL;
    }
    struct list *first = head->next;
    head->next = first->next;
    head->next->prev = head;
    list_init(first);
    return first;
}

#define LIST_ENTRY(link, type, member) CONTAINER_OF(link, type, member)
/* 'it' is a struct list *; the current element may be removed inside the loop. */
#define list_for_each(it, head)                                                                    \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
