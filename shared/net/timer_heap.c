/* timer_heap.c - see timer_heap.h. 'impl' holds the index in the heap plus one; NULL is an idle timer. */
#include "shared/net/timer_heap.h"

#include "shared/base/banned.h"

static bool is_before(const struct timer_node *a, const struct timer_node *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->seq < b->seq;
}

static void put(struct timer_heap *h, size_t at, struct timer_node node)
{
    h->nodes[at] = node;
    node.timer->impl = (void *)(uintptr_t)(at + 1);
}

static void sift_up(struct timer_heap *h, size_t at, struct timer_node node)
{
    while (at > 0 && is_before(&node, &h->nodes[(at - 1) / 2])) {
        put(h, at, h->nodes[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(h, at, node);
}

static void sift_down(struct timer_heap *h, size_t at, struct timer_node node)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && is_before(&h->nodes[child + 1], &h->nodes[child])) {
            child++;
        }
        if (!is_before(&h->nodes[child], &node)) {
            break;
        }
        put(h, at, h->nodes[child]);
        at = child;
    }
    put(h, at, node);
}

void timer_heap_done(struct timer_heap *h)
{
    for (size_t i = 0; i < h->count; i++) {
        h->nodes[i].timer->impl = NULL;
    }
    free(h->nodes);
    *h = (struct timer_heap){ 0 };
}

void timer_heap_add(struct timer_heap *h, struct loop_timer *timer, mono_ms deadline, uint64_t seq)
{
    xp_check(!timer_heap_has(timer));
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 64;
        h->nodes = xrealloc(h->nodes, h->cap, sizeof(*h->nodes));
    }
    h->count++;
    sift_up(h, h->count - 1, (struct timer_node){ deadline, seq, timer });
}

void timer_heap_remove(struct timer_heap *h, struct loop_timer *timer)
{
    if (!timer_heap_has(timer)) {
        return;
    }
    size_t at = (size_t)(uintptr_t)timer->impl - 1;
    xp_check(at < h->count && h->nodes[at].timer == timer);
    timer->impl = NULL;
    struct timer_node last = h->nodes[--h->count];
    if (at == h->count) {
        return;
    }
    if (at > 0 && is_before(&last, &h->nodes[(at - 1) / 2])) {
        sift_up(h, at, last);
    } else {
        sift_down(h, at, last);
    }
}

const struct timer_node *timer_heap_top(const struct timer_heap *h)
{
    return h->count > 0 ? &h->nodes[0] : NULL;
}

bool timer_heap_has(const struct loop_timer *timer)
{
    return timer->impl != NULL;
}
