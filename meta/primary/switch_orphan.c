/* switch_orphan.c - a promotion whose slot was lost while it was carried out: whom it may have promoted is written into the record by who did
 * it, for whoever owns the shard now. Only over the version that was read, only while the record still says that this promotion is under
 * way, and only as "maybe": it makes the next owner more careful, never less. */
#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define TRIES 3 /* the new owner writes, too */

struct switch_orphan {
    struct list link;
    struct shard_switches *all;
    int64_t cluster_id;
    int64_t shard_id;
    int64_t epoch;
    struct addr maybe;
    int tries;
};

static void orphan_free(struct switch_orphan *o)
{
    switch_records_forget(o->all->opt.records, o);
    list_remove(&o->link);
    free(o);
}

static bool is_news(const struct switch_record *r, int64_t epoch)
{
    return r->is_promoting && r->epoch <= epoch && addr_is_none(&r->maybe);
}

static void read_it(struct switch_orphan *o);

static void on_written(int rc, const struct switch_record *record, void *arg)
{
    struct switch_orphan *o = arg;
    (void)record;
    if (rc == XP_CONFLICT && ++o->tries < TRIES) {
        read_it(o);
        return;
    }
    log_info("switch.maybe_promoted", "cluster", log_int(o->cluster_id), "shard",
             log_int(o->shard_id), "redis", ADDR_TEXT(&o->maybe), "written",
             rc == 0 ? "yes" : xp_code_info(rc)->name);
    orphan_free(o);
}

static void on_read(int rc, const struct switch_record *record, void *arg)
{
    struct switch_orphan *o = arg;
    if (rc != 0 || !is_news(record, o->epoch)) {
        orphan_free(o);
        return;
    }
    struct switch_record news = *record;
    news.maybe = o->maybe;
    switch_record_put(o->all->opt.records, o->cluster_id, o->shard_id, &news, SWITCH_RECORD_MS,
                      on_written, o);
}

static void read_it(struct switch_orphan *o)
{
    switch_record_get(o->all->opt.records, o->cluster_id, o->shard_id, SWITCH_RECORD_MS, on_read,
                      o);
}

void switch_orphan_take(struct switch_shard *s)
{
    struct switch_record *r = &s->record;
    if (!addr_is_none(&s->orphan_maybe) && is_news(r, s->orphan_epoch)) {
        r->maybe = s->orphan_maybe;
        switch_write(s);
    }
    s->orphan_maybe = (struct addr){ 0 };
}

void switch_orphan_ended(struct switch_shard *s, const struct addr *maybe)
{
    if (!s->is_orphan_promotion || addr_is_none(maybe)) {
        return;
    }
    s->is_orphan_promotion = false;
    if (s->is_owned) { /* again */
        s->orphan_maybe = *maybe;
        if (s->is_known) {
            switch_orphan_take(s);
        }
        return;
    }
    struct switch_orphan *o = xcalloc(1, sizeof(*o));
    o->all = s->all;
    o->cluster_id = s->cluster_id;
    o->shard_id = s->shard_id;
    o->epoch = s->orphan_epoch;
    o->maybe = *maybe;
    list_push_back(&s->all->orphans, &o->link);
    read_it(o);
}

void switch_orphans_free(struct shard_switches *all)
{
    list_for_each (it, &all->orphans) {
        orphan_free(LIST_ENTRY(it, struct switch_orphan, link));
    }
}
