/* shard_switch.c - see shard_switch.h. Which shards there are, their records, and what others ask. */
#include "meta/primary/switch_internal.h"

#include <stdio.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define READS_MAX       100 /* records, at once: a take-over brings thousands of shards */
#define RECORD_AGAIN_MS 300
#define KEY_MAX         48

/* ---- finding ---- */

static const char *key_of(int64_t cluster_id, int64_t shard_id, char *buf)
{
    (void)snprintf(buf, KEY_MAX, "%lld/%lld", (long long)cluster_id, (long long)shard_id);
    return buf;
}
#define KEY(cluster_id, shard_id) key_of((cluster_id), (shard_id), (char[KEY_MAX]){ 0 })

struct switch_shard *switch_find(const struct shard_switches *all, int64_t cluster_id,
                                 int64_t shard_id)
{
    return map_get(&all->shards, KEY(cluster_id, shard_id));
}

bool switch_meta(const struct switch_shard *s, struct cluster_meta **ret_cluster,
                 const struct shard_meta **ret_shard)
{
    struct cluster_meta *cluster = dc_store_cluster_by_id(s->all->opt.store, s->cluster_id);
    for (size_t i = 0; cluster && i < cluster->shards.count; i++) {
        if (cluster->shards.items[i].db_id == s->shard_id) {
            *ret_cluster = cluster;
            *ret_shard = &cluster->shards.items[i];
            return true;
        }
    }
    return false;
}

size_t switch_redises(const struct shard_meta *shard, struct addr *ret_addrs)
{
    size_t count =
        shard->redises.count < SWITCH_REDIS_MAX ? shard->redises.count : SWITCH_REDIS_MAX;
    for (size_t i = 0; i < count; i++) {
        ret_addrs[i] = shard->redises.items[i].addr;
    }
    return count;
}

bool switch_is_primary(const struct switch_shard *s)
{
    const struct cluster_meta *cluster = dc_store_cluster_by_id(s->all->opt.store, s->cluster_id);
    return cluster && text_eq(cluster->active_dc, dc_store_dc(s->all->opt.store));
}

bool switch_is_fenced(const struct switch_shard *s)
{
    return s->record.fence == FENCE_HELD || s->record.fence == FENCE_FROZEN;
}

int switch_may_command(void *arg, struct xp_err *err)
{
    const struct switch_shard *s = arg;
    const struct duty_env *duty = s->all->opt.duty;
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    if (!s->is_owned) {
        return xp_fail(err, XP_NOT_OWNER, "the slot of the shard is not ours any more");
    }
    if (!switch_meta(s, &cluster, &shard)) {
        return xp_fail(err, XP_NOT_FOUND, "the shard is not in the metadata any more");
    }
    return duty->may_command(cluster, duty->arg, err);
}

int switch_may_step(void *arg, struct xp_err *err)
{
    const struct switch_shard *s = arg;
    if (!s->job || s->job->waits_for_record) {
        return xp_fail(err, XP_NOT_OWNER,
                       "the slot of the shard was lost in the middle of the step");
    }
    return switch_may_command(arg, err);
}

struct tree_duty *switch_tree(const struct switch_shard *s)
{
    const struct shard_switches_options *opt = &s->all->opt;
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    return s->is_owned && switch_meta(s, &cluster, &shard)
               ? opt->tree_of(cluster->name, shard->name, opt->arg)
               : NULL;
}

void switch_look(const struct switch_shard *s)
{
    struct tree_duty *tree = switch_tree(s);
    if (tree) {
        tree_duty_look(tree);
    }
}

/* ---- records ---- */

static void on_record_read(int rc, const struct switch_record *record, void *arg);
static void on_record_written(int rc, const struct switch_record *record, void *arg);

static void read_record(struct switch_shard *s)
{
    struct shard_switches *all = s->all;
    loop_timer_stop(&s->record_timer);
    if (s->is_reading || s->is_writing || list_is_linked(&s->to_read)) {
        return;
    }
    if (all->reading >= READS_MAX) {
        list_push_back(&all->to_read, &s->to_read);
        return;
    }
    all->reading++;
    s->is_reading = true;
    switch_record_get(all->opt.records, s->cluster_id, s->shard_id, SWITCH_RECORD_MS,
                      on_record_read, s);
}

static void read_others(struct shard_switches *all)
{
    while (all->reading < READS_MAX) {
        struct list *link = list_pop_front(&all->to_read);
        if (!link) {
            return;
        }
        read_record(LIST_ENTRY(link, struct switch_shard, to_read));
    }
}

/* How many of the owned shards are fenced is on /metrics: told with each change of a record or of who owns it. */
static void count_fence(struct switch_shard *s)
{
    bool is_one = s->is_owned && s->is_known && switch_is_fenced(s);
    if (is_one != s->is_counted) {
        s->is_counted = is_one;
        metric_add(&switch_fences, is_one ? 1 : -1);
    }
}

static void write_record(struct switch_shard *s)
{
    if (s->is_writing || s->is_reading || !s->is_known) {
        return;
    }
    s->is_writing = true;
    s->is_dirty = false;
    s->record.at = clock_wall_ms();
    switch_record_put(s->all->opt.records, s->cluster_id, s->shard_id, &s->record, SWITCH_RECORD_MS,
                      on_record_written, s);
}

void switch_write(struct switch_shard *s)
{
    count_fence(s);
    s->is_dirty = true;
    if (!loop_timer_is_running(&s->record_timer)) {
        write_record(s);
    }
}

void switch_undo(struct switch_shard *s)
{
    const struct switch_job *job = s->job;
    struct switch_record *r = &s->record;
    const struct switch_record *before = &job->before;
    /* A fence that is to be released may be released by another way: it is not wanted any more. That of an isolation
     * ends with what the console says: without the record nobody would. */
    bool is_wanted = job->step != SWITCH_RELEASE || before->is_isolation;
    if (!job->has_before || !is_wanted) {
        return;
    }
    bool is_news = r->fence != before->fence || r->is_isolation != before->is_isolation ||
                   r->saved.is_known != before->saved.is_known ||
                   r->is_promoting != before->is_promoting || r->kept.count != before->kept.count;
    r->fence = before->fence;
    r->is_isolation = before->is_isolation;
    r->master = before->master;
    r->saved = before->saved;
    r->kept = before->kept;
    r->is_promoting = before->is_promoting;
    if (is_news) {
        switch_write(s);
        switch_keep(s, s->all->opt.reassert_ms);
    }
}

static bool may_have_promoted(const struct switch_record *r)
{
    return r->is_promoting || !addr_is_none(&r->promoted) || !addr_is_none(&r->maybe);
}

/* One that was promoted here, and one that is fenced: by whoever had this shard before. */
static void go_on_from(struct switch_shard *s)
{
    const struct switch_record *r = &s->record;
    mono_ms now = loop_now(s->all->opt.loop);
    int64_t age_ms = clock_wall_ms() - r->at;
    int64_t left_ms = s->all->opt.hold_ms - (age_ms > 0 ? age_ms : 0);
    struct tree_duty *tree = switch_tree(s);
    if (switch_is_fenced(s)) {
        s->held_until = now + s->all->opt.hold_ms;
        switch_note_inherited(s);
        log_info("switch.fence_taken_over", "cluster", log_int(s->cluster_id), "shard",
                 log_int(s->shard_id), "fence", fence_state_text(r->fence), "epoch",
                 log_int(r->epoch));
    } else if (may_have_promoted(r) && !switch_is_primary(s) && left_ms > 0) {
        s->held_until = now + left_ms; /* the metadata does not know of it yet */
    }
    switch_keep(s, 0);
    if (tree && switch_is_primary(s) && !addr_is_none(&r->promoted)) {
        tree_duty_appoint(tree, &r->promoted);
    }
}

static void take_record(struct switch_shard *s, const struct switch_record *record)
{
    int64_t epoch = s->record.epoch > record->epoch ? s->record.epoch : record->epoch;
    bool is_first = !s->is_known;
    if (is_first) {
        s->record = *record;
        s->is_known = true;
        s->known_at = loop_now(s->all->opt.loop);
    }
    s->record.version = record->version;
    s->record.epoch = epoch;
    s->written = *record;
    if (!is_first && s->record.is_promoting && addr_is_none(&s->record.maybe)) {
        s->record.maybe = record->maybe; /* by who carried it out, and had lost the slot */
    }
    count_fence(s);
    if (is_first) {
        switch_orphan_take(s);
        go_on_from(s);
        switch_diverge_recorded(s);
        switch_look(s);
    }
}

static void on_record_read(int rc, const struct switch_record *record, void *arg)
{
    struct switch_shard *s = arg;
    s->is_reading = false;
    s->all->reading--;
    if (s->is_owned && rc != 0) {
        loop_timer_start(&s->record_timer, RECORD_AGAIN_MS);
    } else if (s->is_owned) {
        take_record(s, record);
        if (s->is_dirty) {
            write_record(s);
        }
        switch_job_recorded(s);
    }
    struct shard_switches *all = s->all;
    switch_settled(s);
    read_others(all);
}

/* Not written, or not known whether: the version is read again, and what is in memory is written over it. */
static void on_record_written(int rc, const struct switch_record *record, void *arg)
{
    struct switch_shard *s = arg;
    s->is_writing = false;
    if (s->is_owned &&
        !s->is_known) { /* it was lost meanwhile, and somebody else may have written */
        read_record(s);
    } else if (s->is_owned && rc == 0) {
        s->record.version = record->version;
        s->written = *record;
        if (s->is_dirty) {
            write_record(s);
        } else {
            switch_diverge_recorded(s);
        }
        switch_job_recorded(s);
    } else if (s->is_owned) {
        log_warn("switch.record_not_written", "cluster", log_int(s->cluster_id), "shard",
                 log_int(s->shard_id), "why", xp_code_info(rc)->name);
        s->is_dirty = true;
        loop_timer_start(&s->record_timer, rc == XP_CONFLICT ? 0 : RECORD_AGAIN_MS);
    }
    switch_settled(s);
}

static void record_fire(struct loop_timer *timer)
{
    read_record(CONTAINER_OF(timer, struct switch_shard, record_timer));
}

/* ---- life of a shard ---- */

static void job_fire(struct loop_timer *timer)
{
    struct switch_shard *s = CONTAINER_OF(timer, struct switch_shard, job_timer);
    struct xp_err err;
    if (s->job && s->job->waits_for_record) {
        (void)xp_fail(&err, XP_TIMEOUT,
                      "the record of the shard in ZooKeeper was not %s in time; nothing was sent",
                      s->is_known ? "written" : "read");
        switch_undo(s);
        switch_end_error(s, &err);
    } else if (s->job) {
        switch_following_look(s);
    }
}

static struct switch_shard *shard_new(struct shard_switches *all, int64_t cluster_id,
                                      int64_t shard_id)
{
    struct switch_shard *s = xcalloc(1, sizeof(*s));
    s->all = all;
    s->cluster_id = cluster_id;
    s->shard_id = shard_id;
    s->record.version = -1;
    s->held_until = MONO_NEVER;
    s->asserted_at = MONO_NEVER;
    s->ended_at = MONO_NEVER;
    list_init(&s->queue);
    list_init(&s->to_read);
    loop_timer_init(&s->record_timer, all->opt.loop, record_fire);
    loop_timer_init(&s->job_timer, all->opt.loop, job_fire);
    warm_party_init(&s->warm, all->opt.loop, all->opt.warm_ms);
    switch_keep_init(s);
    (void)map_put(&all->shards, KEY(cluster_id, shard_id), s);
    return s;
}

static void shard_free(struct switch_shard *s)
{
    struct shard_switches *all = s->all;
    s->is_known = false;
    count_fence(s);
    switch_diverge_left(s);
    loop_timer_stop(&s->record_timer);
    loop_timer_stop(&s->job_timer);
    switch_keep_stop(s);
    fence_run_free(s->fence_run);
    promote_run_free(s->promote_run);
    warm_party_done(&s->warm);
    switch_records_forget(all->opt.records, s);
    all->reading -= s->is_reading;
    list_remove(&s->to_read);
    if (s->job) {
        switch_job_free(s->job);
    }
    for (struct list *link; (link = list_pop_front(&s->queue));) {
        switch_job_free(LIST_ENTRY(link, struct switch_job, link));
    }
    switch_forget(s);
    execution_log_free(s->orphan_log);
    switch_strays_forget(s);
    switch_diverge_forget(s);
    free(s->last_error);
    free(s);
}

bool switch_is_quiet(const struct switch_shard *s)
{
    return !s->fence_run && !s->promote_run && !s->keep_run && !s->settle;
}

void switch_settled(struct switch_shard *s)
{
    if (s->is_owned || !switch_is_quiet(s) || s->is_reading || s->is_writing) {
        return;
    }
    struct shard_switches *all = s->all;
    int slot = slot_of_cluster(s->cluster_id);
    (void)map_remove(&all->shards, KEY(s->cluster_id, s->shard_id));
    shard_free(s);
    if (all->opt.on_quiet) {
        all->opt.on_quiet(slot, all->opt.arg);
    }
}

void shard_switch_gained(struct shard_switches *all, const struct cluster_meta *cluster,
                         const char *shard)
{
    const struct shard_meta *meta = cluster_meta_shard(cluster, shard);
    if (!meta || !cluster_type_info(cluster->type)->can_migrate) {
        return;
    }
    struct switch_shard *s = switch_find(all, cluster->db_id, meta->db_id);
    s = s ? s : shard_new(all, cluster->db_id, meta->db_id);
    s->is_owned = true;
    s->is_known = false;
    s->is_dirty = false;
    s->record = (struct switch_record){ .version = -1 };
    s->written = s->record;
    s->is_checked = s->is_prepared = false;
    count_fence(s);
    s->held_until = MONO_NEVER;
    s->may_follow = false;
    switch_strays_forget(s);
    switch_diverge_forget(s);
    s->is_asserted = false;
    s->asserted_at = MONO_NEVER;
    s->find_at = MONO_NEVER;
    s->outlived_at = MONO_NEVER;
    s->fenced_at = MONO_NEVER;
    s->is_inherited = false;
    s->is_past = false;
    s->settle_pause_ms = 0;
    s->settle_looks = 0;
    read_record(s);
}

/* Its answer may be older than what the next owner writes, if we are the one after him. */
static void forget_read(struct switch_shard *s)
{
    if (s->is_reading) {
        switch_records_forget(s->all->opt.records, s);
        s->is_reading = false;
        s->all->reading--;
    }
}

void shard_switch_lost(struct shard_switches *all, int64_t cluster_id, int64_t shard_id)
{
    struct switch_shard *s = switch_find(all, cluster_id, shard_id);
    struct xp_err err;
    if (!s || !s->is_owned) {
        return;
    }
    (void)xp_fail(&err, XP_NOT_OWNER, "the slot of the shard was lost in the middle of the step");
    s->is_owned = false;
    s->is_dirty = false;
    s->is_known = false;
    count_fence(s);
    switch_diverge_left(s);
    s->tenure++;
    loop_timer_stop(&s->record_timer);
    list_remove(&s->to_read);
    forget_read(s);
    switch_forget(s);
    switch_keep_leave(s);
    switch_jobs_fail(s, &err);
    switch_settled(s); /* perhaps not yet: what is under way ends at its next question, and tells */
    read_others(all);
}

void shard_switch_cluster(struct shard_switches *all, const struct cluster_meta *cluster)
{
    for (size_t i = 0; i < cluster->shards.count; i++) {
        struct switch_shard *s = switch_find(all, cluster->db_id, cluster->shards.items[i].db_id);
        if (!s || !s->is_owned || !s->is_known) {
            continue;
        }
        s->may_follow &= cluster->is_migrating;
        s->is_checked &= cluster->is_migrating;
        switch_prepare(s);
        switch_note_migrating(s);
        if (!s->is_dirty && !s->is_writing) {
            switch_diverge_recorded(s); /* a report that found no room is tried again */
        }
        switch_keep(s, 0);
        struct tree_duty *tree = switch_tree(s);
        if (tree && switch_is_primary(s) && !addr_is_none(&s->record.promoted)) {
            tree_duty_appoint(tree, &s->record.promoted);
        }
    }
}

/* ---- what others ask ---- */

enum duty_stance shard_switch_stance(const struct shard_switches *all, int64_t cluster_id,
                                     int64_t shard_id)
{
    const struct switch_shard *s = switch_find(all, cluster_id, shard_id);
    if (!s || !s->is_owned) {
        return STANCE_NONE;
    }
    struct keep_facts facts;
    switch_keep_facts(s, &facts);
    bool is_held = s->held_until != MONO_NEVER && loop_now(all->opt.loop) < s->held_until;
    bool is_in_force = keep_is_in_force(&facts);
    if (!s->is_known || (s->job && switch_changes(s->job->step))) {
        return is_in_force ? STANCE_FENCED : STANCE_KEEP_OFF;
    }
    bool is_isolated = facts.is_isolation && !facts.is_confirmed;
    if (is_in_force && (is_held || facts.is_migrating || is_isolated)) {
        return STANCE_FENCED;
    }
    if (s->may_follow) {
        return STANCE_FOLLOW;
    }
    return is_held ? STANCE_KEEP_OFF : STANCE_NONE;
}

bool shard_switch_holds(const struct shard_switches *all, int64_t cluster_id, int64_t shard_id)
{
    enum duty_stance stance = shard_switch_stance(all, cluster_id, shard_id);
    return stance == STANCE_KEEP_OFF || stance == STANCE_FENCED;
}

bool shard_switches_are_quiet(const struct shard_switches *all, int slot)
{
    size_t at = 0;
    for (const struct map_slot *entry; (entry = map_next(&all->shards, &at));) {
        const struct switch_shard *s = entry->value;
        bool is_meant = slot < 0 || slot_of_cluster(s->cluster_id) == slot;
        if (is_meant && !s->is_owned && !switch_is_quiet(s)) {
            return false;
        }
    }
    return true;
}

/* ---- the whole ---- */

struct shard_switches *shard_switches_new(const struct shard_switches_options *options)
{
    struct shard_switches *all = xcalloc(1, sizeof(*all));
    all->opt = *options;
    all->opt.address = NULL;
    all->first_line = xasprintf("meta server:%s", options->address);
    all->shards = MAP_INIT(MAP_TEXT);
    list_init(&all->to_read);
    list_init(&all->orphans);
    switch_metrics_register();
    switch_isolation_init(all);
    return all;
}

void shard_switches_free(struct shard_switches *all)
{
    if (!all) {
        return;
    }
    size_t at = 0;
    switch_isolation_done(all);
    for (const struct map_slot *slot; (slot = map_next(&all->shards, &at));) {
        shard_free(slot->value);
    }
    map_done(&all->shards);
    switch_orphans_free(all);
    free(all->first_line);
    free(all);
}
