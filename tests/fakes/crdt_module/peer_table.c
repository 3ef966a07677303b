/* peer_table.c - see peer_table.h. */
#include "tests/fakes/crdt_module/peer_table.h"

#include <string.h>
#include <sys/socket.h>

#include "shared/base/banned.h"

static struct peer peers[GID_MAX + 1];

struct peer *peer_get(int gid)
{
    return gid >= 1 && gid <= GID_MAX ? &peers[gid] : NULL;
}

struct peer *peer_nth(int n, int *ret_gid)
{
    for (int gid = 1; gid <= GID_MAX; gid++) {
        if (peers[gid].used && n-- == 0) {
            *ret_gid = gid;
            return &peers[gid];
        }
    }
    return NULL;
}

void peer_cut(struct peer *p)
{
    p->epoch++;
    if (p->thread_runs && p->fd >= 0) {
        shutdown(p->fd, SHUT_RDWR);
    }
    p->phase = LINK_WAITING;
}

void peer_store(int gid, const struct peer_words *words)
{
    struct peer *p = &peers[gid];

    peer_cut(p);
    if (!p->used) {
        p->has_replid = false;
        p->offset = 0;
        p->owes = false;
        p->asks_clock = false;
        p->follows_master = !standin.is_master;
    }
    p->used = true;
    p->words = *words;
    p->in_use = 0;
    p->try_count = 0;
    p->down_wall_s = 0;
    p->lazy_until_ms = 0;
    p->override = (struct link_override){ .shown = SHOW_REAL, .offset = -1 };
    if (words->backstream != NO_BACKSTREAM) {
        p->owes = true;
        p->owed_clock = words->backstream;
        p->has_replid = false;
    }
}

void peer_remove(int gid)
{
    struct peer *p = &peers[gid];

    peer_cut(p);
    p->used = false;
    p->owes = false;
}

void peer_remove_all(void)
{
    for (int gid = 1; gid <= GID_MAX; gid++) {
        if (peers[gid].used) {
            peer_remove(gid);
        }
    }
}

void peer_cut_all(void)
{
    for (int gid = 1; gid <= GID_MAX; gid++) {
        if (peers[gid].used) {
            peer_cut(&peers[gid]);
        }
    }
}

void peer_take_over(void)
{
    for (int gid = 1; gid <= GID_MAX; gid++) {
        struct peer *p = &peers[gid];
        if (p->used) {
            peer_cut(p);
            p->down_wall_s = now_wall_s();
            p->lazy_until_ms = 0;
            p->follows_master = false;
            p->last_io_ms = 0;
            /* the master that was may have been further than what it replicated */
            p->asks_clock = true;
        }
    }
}

bool peer_is_up(const struct peer *p)
{
    if (p->override.shown != SHOW_REAL) {
        return p->override.shown == SHOW_UP;
    }
    return standin.is_master && p->phase == LINK_UP;
}

bool peer_any_owes(void)
{
    for (int gid = 1; gid <= GID_MAX; gid++) {
        if (peers[gid].used && peers[gid].owes) {
            return true;
        }
    }
    return false;
}
