/* zk_watch.c - watches, see zk_internal.h. They live in maps by number and by key; a watch that fired or whose session
 * is over leaves them before its function runs. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/zk_internal.h"

#include "shared/base/banned.h"

/* Session events reach every watch as well; they have their own way through on_session_event. */
void zk_on_watch_event(zhandle_t *handle, int type, int state, const char *path, void *id)
{
    (void)state;
    (void)path;
    if (type != ZOO_SESSION_EVENT) {
        zk_post_event(zoo_get_context(handle), (uint64_t)(uintptr_t)id);
    }
}

static void watch_free(struct zk_watch *w)
{
    free(w->key);
    free(w->path);
    free(w);
}

static void watch_drop(struct zk *zk, struct zk_watch *w)
{
    map_remove_n(&zk->watches, w->id);
    map_remove(&zk->watch_keys, w->key);
    watch_free(w);
}

/* The watch for this call, new or the same one as before; its id is what the library is given. */
struct zk_watch *zk_watch_get(struct zk *zk, enum zk_call_kind kind, const char *path,
                              zk_watch_fn *fn, void *arg)
{
    char *key = xasprintf("%d %llx %p %s", (int)kind, (unsigned long long)(uintptr_t)fn, arg, path);
    struct zk_watch *w = map_get(&zk->watch_keys, key);
    if (w) {
        free(key);
        return w;
    }
    w = xcalloc(1, sizeof(*w));
    *w = (struct zk_watch){
        .id = ++zk->next_watch_id, .key = key, .path = xstrdup(path), .fn = fn, .arg = arg
    };
    map_put(&zk->watch_keys, key, w);
    map_put_n(&zk->watches, w->id, w);
    return w;
}

void zk_watch_call_ended(struct zk *zk, const struct zk_call *c)
{
    struct zk_watch *w = c->watch_id ? map_get_n(&zk->watches, c->watch_id) : NULL;
    if (!w) {
        return;
    }
    w->calls_pending--;
    w->is_set |= c->zrc == ZOK || (c->kind == ZK_CALL_EXISTS && c->zrc == ZNONODE);
    if (!w->is_set && w->calls_pending == 0) {
        watch_drop(zk, w);
    }
}

void zk_watch_fire(struct zk *zk, uint64_t id)
{
    struct zk_watch *w = map_get_n(&zk->watches, id);
    if (!w) {
        return;
    }
    map_remove_n(&zk->watches, id);
    map_remove(&zk->watch_keys, w->key);
    w->fn(w->path, w->arg);
    watch_free(w);
}

/* The session is over: its watches wait for the next one, in which their owners look again. */
void zk_watches_make_stale(struct zk *zk)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&zk->watches, &at))) {
        map_put_n(&zk->stale_watches, slot->number, slot->value);
    }
    map_done(&zk->watches);
    map_done(&zk->watch_keys);
}

void zk_watches_fire_stale(struct zk *zk)
{
    size_t count = 0;
    AUTO_FREE void **all = map_sorted(&zk->stale_watches, &count);
    AUTO_FREE uint64_t *ids = xcalloc(count + 1, sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = ((struct zk_watch *)all[i])->id;
    }
    for (size_t i = 0; i < count; i++) { /* a callback may forget some of the others */
        struct zk_watch *w = map_remove_n(&zk->stale_watches, ids[i]);
        if (w) {
            w->fn(w->path, w->arg);
            watch_free(w);
        }
    }
}

static void forget_in(struct map *watches, struct map *keys, const void *arg)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(watches, &at))) {
        struct zk_watch *w = slot->value;
        if (arg && w->arg != arg) {
            continue;
        }
        map_remove_n(watches, w->id);
        if (keys) {
            map_remove(keys, w->key);
        }
        watch_free(w);
    }
}

void zk_watches_forget(struct zk *zk, const void *arg)
{
    forget_in(&zk->watches, &zk->watch_keys, arg);
    forget_in(&zk->stale_watches, NULL, arg);
}
