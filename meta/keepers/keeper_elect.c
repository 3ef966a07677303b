/* keeper_elect.c - see keeper_elect.h.
 *
 * As x-pipe does it, so that both choose the same keeper: a keeper that the document does not name (being replaced, say) has
 * priority 1 and may be active until container_decide removes it, which waits until all of the document live. */
#include "meta/keepers/keeper_elect.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define DATA_MAX_BYTES 65536
#define EXTRA_PRIORITY 1
#define QUEUE_MARK     "latch-"

struct registered { /* what a keeper says of itself that we believe */
    char *host;
    int port;
};

/* clang-format off */
static const struct jfield registered_fields[] = {
    { .name = "ip", .type = JF_HOST, .offset = offsetof(struct registered, host), .flags = JF_REQUIRED },
    { .name = "port", .type = JF_PORT, .offset = offsetof(struct registered, port), .flags = JF_REQUIRED },
    { 0 },
};
/* clang-format on */

static void copy_run_id(const json_t *value, char *buf, size_t size)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (text && length < size && jd_is_name(text)) {
        memcpy(buf, text, length + 1);
    }
}

static bool read_object(const json_t *json, struct live_keeper *ret_keeper)
{
    struct registered data = { 0 };
    struct xp_err err;
    struct live_keeper keeper = { 0 };
    if (jd_object(json, registered_fields, &data, &err) == 0) {
        keeper.addr = addr_of(data.host, data.port);
        copy_run_id(json_object_get(json, "id"), keeper.run_id, sizeof(keeper.run_id));
    }
    jd_done(registered_fields, &data);
    *ret_keeper = keeper;
    return !addr_is_none(&keeper.addr) && !addr_is_nobodys(&keeper.addr);
}

static bool read_child(const struct keeper_child *child, struct live_keeper *ret_keeper)
{
    json_t *json = NULL;
    struct xp_err err;
    if (!child->data || child->length > DATA_MAX_BYTES ||
        jd_parse(child->data, child->length, &json, &err) != 0) {
        return false;
    }
    bool is_read = read_object(json, ret_keeper);
    json_decref(json);
    return is_read;
}

static void look_up(const struct shard_meta *shard, struct live_keeper *keeper)
{
    keeper->is_in_meta = false;
    keeper->container_id = 0;
    keeper->priority = EXTRA_PRIORITY;
    for (size_t i = 0; i < shard->keepers.count; i++) {
        const struct keeper_meta *named = &shard->keepers.items[i];
        if (addr_eq(&named->addr, &keeper->addr)) {
            keeper->is_in_meta = true;
            keeper->container_id = named->container_id;
            keeper->priority = named->priority;
            return;
        }
    }
}

/* What the queue is sorted by; names of other origin sort by themselves, as Curator does. */
static const char *queue_key(const char *name)
{
    const char *at = strstr(name, QUEUE_MARK);
    return at ? at + strlen(QUEUE_MARK) : name;
}

static int compare_children(const void *a, const void *b)
{
    const struct keeper_child *x = *(const struct keeper_child *const *)a;
    const struct keeper_child *y = *(const struct keeper_child *const *)b;
    if (x->path != y->path) {
        return x->path < y->path ? -1 : 1;
    }
    int order = strcmp(queue_key(x->name), queue_key(y->name));
    return order ? order : strcmp(x->name, y->name);
}

static struct live_keeper *find(struct keeper_election *e, const struct addr *addr)
{
    for (size_t i = 0; i < e->count; i++) {
        if (addr_eq(&e->keepers[i].addr, addr)) {
            return &e->keepers[i];
        }
    }
    return NULL;
}

/* Strangers do not crowd out the keepers of the document. */
static void drop_last_stranger(struct keeper_election *e)
{
    for (size_t i = e->count; i-- > 0;) {
        if (!e->keepers[i].is_in_meta) {
            memmove(&e->keepers[i], &e->keepers[i + 1], (e->count - i - 1) * sizeof(e->keepers[0]));
            e->count--;
            return;
        }
    }
}

static void add(struct keeper_election *e, const struct live_keeper *keeper)
{
    struct live_keeper *known = find(e, &keeper->addr);
    if (known) { /* on both paths, or restarted within its session: the first place, the newest process */
        memcpy(known->run_id, keeper->run_id, sizeof(known->run_id));
        return;
    }
    if (e->count == SHARD_KEEPERS_MAX) {
        e->ignored++;
        if (keeper->is_in_meta) {
            drop_last_stranger(e);
        }
    }
    if (e->count < SHARD_KEEPERS_MAX) {
        e->keepers[e->count++] = *keeper;
    }
}

static int choose_active(const struct keeper_election *e)
{
    int best = -1;
    for (int i = 0; i < (int)e->count; i++) {
        int64_t priority = e->keepers[i].priority;
        if (priority > 0 && (best < 0 || priority > e->keepers[best].priority)) {
            best = i;
        }
    }
    return best;
}

void keeper_elect(const struct keeper_child *children, size_t count, const struct shard_meta *shard,
                  struct keeper_election *ret_election)
{
    struct keeper_election e = { .active = -1 };
    AUTO_FREE const struct keeper_child **sorted = xcalloc(count + 1, sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &children[i];
    }
    qsort(sorted, count, sizeof(*sorted), compare_children);
    for (size_t i = 0; i < count; i++) {
        struct live_keeper keeper;
        if (!read_child(sorted[i], &keeper)) {
            e.unreadable++;
        } else {
            look_up(shard, &keeper);
            add(&e, &keeper);
        }
    }
    e.active = choose_active(&e);
    *ret_election = e;
}

void keeper_elect_again(const struct keeper_election *known, const struct shard_meta *shard,
                        struct keeper_election *ret_election)
{
    struct keeper_election e = *known;
    for (size_t i = 0; i < e.count; i++) {
        look_up(shard, &e.keepers[i]);
    }
    e.active = choose_active(&e);
    *ret_election = e;
}

static bool is_same_keeper(const struct live_keeper *a, const struct live_keeper *b)
{
    return addr_eq(&a->addr, &b->addr) && text_eq(a->run_id, b->run_id) &&
           a->container_id == b->container_id && a->priority == b->priority &&
           a->is_in_meta == b->is_in_meta;
}

bool keeper_election_eq(const struct keeper_election *a, const struct keeper_election *b)
{
    if (a->count != b->count || a->active != b->active || a->unreadable != b->unreadable ||
        a->ignored != b->ignored) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!is_same_keeper(&a->keepers[i], &b->keepers[i])) {
            return false;
        }
    }
    return true;
}
