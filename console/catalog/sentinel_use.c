/* sentinel_use.c - which sentinel group looks after a shard in a DC: chosen, shown, taken away; see sentinels.h. */
#include "console/catalog/sentinels.h"
#include "console/catalog/lookup.h"
#include "console/catalog/sentinels_internal.h"
#include "shared/base/str.h"

#include <stdio.h>

#include "shared/base/banned.h"

/* ---- the choice ---- */

struct candidate {
    int64_t id;
    int64_t shard_count;
};

/* The groups for one DC, type and tag; counts are kept up while shards are given out. */
struct candidates {
    struct candidate *items;
    size_t count;
};

static void candidates_done(struct candidates *c)
{
    free(c->items);
    *c = (struct candidates){ 0 };
}

/* Replaces what was in 'ret'. */
static int load_candidates(struct db *db, int64_t dc_id, const struct cluster_ref *cluster,
                           struct candidates *ret, struct xp_err *err)
{
    candidates_done(ret);
    if (cluster->type == CLUSTER_CROSS_DC) {
        return 0;
    }
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SENTINEL_CANDIDATES,
                                  QUERY_ARGS(QI(dc_id), QT(cluster->type_name), QT(cluster->tag)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct candidate *one = ARRAY_ADD(ret->items, ret->count);
        *one = (struct candidate){ .id = db_col_i64(&s, 0), .shard_count = db_col_i64(&s, 1) };
    }
    return rc;
}

/* Fewest shards, then lowest id (their order); NULL when there is none. */
static struct candidate *fewest(const struct candidates *c)
{
    struct candidate *best = NULL;
    for (size_t i = 0; i < c->count; i++) {
        if (!best || c->items[i].shard_count < best->shard_count) {
            best = &c->items[i];
        }
    }
    return best;
}

static struct candidate *candidate_of(const struct candidates *c, int64_t id)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].id == id) {
            return &c->items[i];
        }
    }
    return NULL;
}

static int set_group(const struct change *change, int64_t row_id, int64_t group_id,
                     struct xp_err *err)
{
    return query_run(change->db, Q_SENTINEL_USE_SET,
                     QUERY_ARGS(QI(row_id), QI(group_id), QI(change->now_ms)), err);
}

/* ---- new shards ---- */

struct unset_row {
    int64_t id;
    int64_t dc_id;
};
struct unset_rows {
    struct unset_row *items;
    size_t count;
};

static void unset_rows_done(struct unset_rows *rows)
{
    free(rows->items);
}

static int load_unset(const struct change *change, const struct cluster_ref *cluster,
                      struct new_rows scope, struct unset_rows *rows, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(change->db, Q_SENTINEL_UNSET_ROWS,
                   QUERY_ARGS(QI(cluster->id), QI(scope.first_shard_id), QI(scope.dc_cluster_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct unset_row *row = ARRAY_ADD(rows->items, rows->count);
        *row = (struct unset_row){ .id = db_col_i64(&s, 0), .dc_id = db_col_i64(&s, 1) };
    }
    return rc;
}

int sentinels_assign(const struct change *change, const struct cluster_ref *cluster,
                     struct new_rows scope, struct xp_err *err)
{
    CLEANUP(candidates_done) struct candidates candidates = { 0 };
    CLEANUP(unset_rows_done) struct unset_rows rows = { 0 };
    int rc = load_unset(change, cluster, scope, &rows, err);
    for (size_t i = 0; rc == 0 && i < rows.count; i++) {
        bool is_next_dc = i == 0 || rows.items[i].dc_id != rows.items[i - 1].dc_id;
        if (is_next_dc) {
            rc = load_candidates(change->db, rows.items[i].dc_id, cluster, &candidates, err);
        }
        struct candidate *chosen = rc == 0 ? fewest(&candidates) : NULL;
        if (chosen) {
            chosen->shard_count++;
            rc = set_group(change, rows.items[i].id, chosen->id, err);
        }
    }
    return rc;
}

/* ---- the users of a group ---- */

struct user { /* a row that uses a group */
    int64_t row_id;
    struct dc_ref dc;
    char cluster[NAME_MAX_BYTES + 1];
    char shard[NAME_MAX_BYTES + 1];
    struct addr master;
};
struct users { /* by DC, type and tag of the cluster, cluster */
    struct user *items;
    size_t count;
};

static void users_done(struct users *users)
{
    free(users->items);
}

static struct addr stored_addr(const struct db_stmt *s, int column)
{
    const char *ip = db_col_text(s, column);
    return ip && ip[0] ? addr_of(ip, (int)db_col_i64(s, column + 1)) : (struct addr){ 0 };
}

static int load_users(struct db *db, int64_t group_id, struct users *ret, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SENTINEL_USERS, QUERY_ARGS(QI(group_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct user *u = ARRAY_ADD(ret->items, ret->count);
        *u = (struct user){ .row_id = db_col_i64(&s, 0),
                            .dc = { .id = db_col_i64(&s, 1) },
                            .master = stored_addr(&s, 5) };
        (void)snprintf(u->dc.name, sizeof(u->dc.name), "%s", db_col_text(&s, 2));
        (void)snprintf(u->cluster, sizeof(u->cluster), "%s", db_col_text(&s, 3));
        (void)snprintf(u->shard, sizeof(u->shard), "%s", db_col_text(&s, 4));
    }
    return rc;
}

static int uses_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct addr *addr = job->args;
    struct sentinel_uses *uses = job->ret;
    CLEANUP(users_done) struct users users = { 0 };
    int64_t group_id = 0;
    int rc = query_i64(db, Q_SENTINEL_BY_ADDR, QUERY_ARGS(QT(addr->host), QI(addr->port)),
                       &group_id, err);
    if (rc == 0 && !group_id) {
        rc = xp_fail(err, XP_NOT_FOUND, "%s not found", ADDR_TEXT(addr));
    }
    if (rc == 0) {
        rc = load_users(db, group_id, &users, err);
    }
    if (rc != 0) {
        return rc;
    }
    uses->items = xcalloc(users.count + 1, sizeof(*uses->items));
    for (size_t i = 0; i < users.count; i++) {
        uses->items[uses->count++] = (struct sentinel_use){
            .dc = xstrdup(users.items[i].dc.name),
            .cluster = xstrdup(users.items[i].cluster),
            .shard = xstrdup(users.items[i].shard),
            .master = users.items[i].master,
        };
    }
    return 0;
}

int sentinel_uses_of(struct catalog *cat, const struct addr *addr, struct sentinel_uses *ret_uses,
                     struct xp_err *err)
{
    struct sentinel_uses uses = { 0 };
    struct read_job job = { .cat = cat, .args = addr, .ret = &uses };
    int rc = store_read(cat->store, uses_in, &job, err);
    if (rc != 0) {
        sentinel_uses_done(&uses);
        return rc;
    }
    *ret_uses = uses;
    return 0;
}

void sentinel_use_done(struct sentinel_use *use)
{
    free(use->dc);
    free(use->cluster);
    free(use->shard);
    *use = (struct sentinel_use){ 0 };
}

void sentinel_uses_done(struct sentinel_uses *uses)
{
    for (size_t i = 0; i < uses->count; i++) {
        sentinel_use_done(&uses->items[i]);
    }
    free(uses->items);
    *uses = (struct sentinel_uses){ 0 };
}

/* ---- re-heal ---- */

struct reheal {
    struct change *change;
    struct service_job *job;
    int64_t group_id;
    struct users users;
    struct cluster_ref cluster; /* of the present user */
    struct candidates candidates;
    int64_t kept;
    bool is_told; /* the present cluster, in the present DC */
};

static void reheal_done(struct reheal *r)
{
    users_done(&r->users);
    candidates_done(&r->candidates);
}

/* Cluster and candidates of user 'at'; what it has in common with the one before is not read again. */
static int enter_user(struct reheal *r, size_t at, struct xp_err *err)
{
    const struct user *u = &r->users.items[at];
    const struct user *before = &r->users.items[at > 0 ? at - 1 : 0];
    bool is_same_dc = at > 0 && before->dc.id == u->dc.id;
    if (is_same_dc && text_eq(before->cluster, u->cluster)) {
        return 0;
    }
    struct cluster_ref old = r->cluster;
    r->is_told = false;
    int rc = find_cluster(r->change->db, u->cluster, &r->cluster, err);
    bool is_same_kind =
        is_same_dc && old.type == r->cluster.type && text_eq_nocase(old.tag, r->cluster.tag);
    return rc == 0 && !is_same_kind
               ? load_candidates(r->change->db, u->dc.id, &r->cluster, &r->candidates, err)
               : rc;
}

static int reheal_user(struct reheal *r, const struct user *u, struct xp_err *err)
{
    if (candidate_of(&r->candidates, r->group_id)) {
        return 0; /* it fits */
    }
    struct candidate *chosen = fewest(&r->candidates);
    if (!chosen || change_check_unlocked(&r->cluster, NULL) != 0) {
        r->kept++;
        return 0;
    }
    chosen->shard_count++;
    r->job->result.changed_count++;
    int rc = set_group(r->change, u->row_id, chosen->id, err);
    if (rc == 0 && !r->is_told) {
        r->is_told = true;
        rc = change_effect_cluster(r->change, &r->job->result, &r->cluster, &u->dc, err);
    }
    return rc;
}

static int reheal_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const int64_t *id = job->args;
    CLEANUP(reheal_done)
    struct reheal r = { .change = change, .job = job, .group_id = *id };
    int64_t found = 0;
    int rc = query_i64(change->db, Q_SENTINEL_GROUP_FIND, QUERY_ARGS(QI(*id)), &found, err);
    if (rc == 0) {
        rc = load_users(change->db, *id, &r.users, err);
    }
    if (rc == 0 && !found && r.users.count == 0) {
        rc = xp_fail(err, XP_NOT_FOUND, "sentinel group with id:%lld not exist", (long long)*id);
    }
    for (size_t i = 0; rc == 0 && i < r.users.count; i++) {
        rc = enter_user(&r, i, err);
        if (rc == 0) {
            rc = reheal_user(&r, &r.users.items[i], err);
        }
    }
    if (rc != 0) {
        return rc;
    }
    if (r.kept > 0) {
        (void)snprintf(job->result.warning, sizeof(job->result.warning),
                       "%lld shards keep group %lld: no other active group of their type and tag "
                       "in their DC, or their cluster migrates",
                       (long long)r.kept, (long long)*id);
    }
    change_note_number(change, "group", *id);
    change_note_number(change, "moved", job->result.changed_count);
    return job->result.changed_count == 0 ? change_nothing(change, job) : 0;
}

int sentinel_groups_reheal(struct catalog *cat, const struct change_ctx *ctx, int64_t id,
                           struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = &id };
    struct store_op op = { .name = "sentinel.reheal", .fn = reheal_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

/* ---- one shard in one DC ---- */

struct place {
    struct cluster_ref cluster;
    struct dc_ref dc;
    int64_t row_id;
    int64_t group_id;
};

static int place_unknown(const struct shard_place *names, struct xp_err *err)
{
    return xp_fail(err, XP_NOT_FOUND, "%s:%s:%s not found", names->dc ? names->dc : "",
                   names->cluster ? names->cluster : "", names->shard ? names->shard : "");
}

static int find_place(const struct catalog *cat, struct db *db, const struct shard_place *names,
                      struct place *ret, struct xp_err *err)
{
    struct shard_ref shard = { 0 };
    *ret = (struct place){ .row_id = 0 };
    int rc = find_cluster(db, names->cluster ? names->cluster : "", &ret->cluster, err);
    if (rc == 0) {
        rc = find_dc(cat, db, names->dc ? names->dc : "", &ret->dc, err);
    }
    if (rc == 0) {
        rc = find_shard(db, ret->cluster.id, names->shard ? names->shard : "", &shard, err);
    }
    if (rc == 0 && shard.id) {
        rc = query_i64(db, Q_DC_CLUSTER_SHARD_FIND,
                       QUERY_ARGS(QI(ret->cluster.id), QI(ret->dc.id), QI(shard.id)), &ret->row_id,
                       err);
    }
    if (rc == 0 && !ret->row_id) {
        rc = place_unknown(names, err);
    }
    return rc == 0 ? query_i64(db, Q_SENTINEL_SHARD_ROW, QUERY_ARGS(QI(ret->row_id)),
                               &ret->group_id, err)
                   : rc;
}

struct shown {
    struct sentinel_use use;
    struct sentinel_group_row group;
};

static int show_row(struct db *db, int64_t row_id, struct shown *shown, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SENTINEL_SHARD_ROW, QUERY_ARGS(QI(row_id)));
    int rc = db_step(&s, err);
    if (rc != DB_ROW) {
        return rc < 0 ? rc : xp_fail(err, XP_NOT_FOUND, "the shard has no row in this DC");
    }
    int64_t group_id = db_col_i64(&s, 0);
    shown->use = (struct sentinel_use){ .shard = query_text(&s, 1), .master = stored_addr(&s, 2) };
    CLEANUP(sentinel_group_rows_done) struct sentinel_group_rows rows = { 0 };
    rc = sentinel_groups_load(db, group_id, group_id, NULL, 0, &rows, err);
    if (rc == 0 && rows.count == 0) {
        rc = xp_fail(err, XP_NOT_FOUND, "sentinel group id: %lld not found", (long long)group_id);
    }
    if (rc == 0) {
        shown->group = rows.items[0];
        rows.count = 0; /* handed over */
    }
    return rc;
}

static int show_place_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct place place;
    int rc = find_place(job->cat, db, job->args, &place, err);
    return rc == 0 ? show_row(db, place.row_id, job->ret, err) : rc;
}

static int show_redis_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct addr *addr = job->args;
    int64_t row_id = 0;
    int rc = query_i64(db, Q_SENTINEL_PLACE_OF_REDIS, QUERY_ARGS(QT(addr->host), QI(addr->port)),
                       &row_id, err);
    if (rc == 0 && !row_id) {
        rc = xp_fail(err, XP_NOT_FOUND, "%s not found", ADDR_TEXT(addr));
    }
    return rc == 0 ? show_row(db, row_id, job->ret, err) : rc;
}

static int show(struct catalog *cat, int (*fn)(struct db *, void *, struct xp_err *),
                const void *args, struct shown *ret_shown, struct xp_err *err)
{
    struct shown shown = { .use = { .shard = NULL } };
    struct read_job job = { .cat = cat, .args = args, .ret = &shown };
    int rc = store_read(cat->store, fn, &job, err);
    if (rc != 0) {
        sentinel_use_done(&shown.use);
        sentinel_group_row_done(&shown.group);
        return rc;
    }
    *ret_shown = shown;
    return 0;
}

int shard_sentinels_get(struct catalog *cat, const struct shard_place *place,
                        struct sentinel_use *ret_use, struct sentinel_group_row *ret_group,
                        struct xp_err *err)
{
    struct shown shown;
    int rc = show(cat, show_place_in, place, &shown, err);
    if (rc == 0) {
        *ret_use = shown.use;
        *ret_group = shown.group;
    }
    return rc;
}

int redis_sentinels_get(struct catalog *cat, const struct addr *addr, struct sentinel_use *ret_use,
                        struct sentinel_group_row *ret_group, struct xp_err *err)
{
    struct shown shown;
    int rc = show(cat, show_redis_in, addr, &shown, err);
    if (rc == 0) {
        *ret_use = shown.use;
        *ret_group = shown.group;
    }
    return rc;
}

/* The place of a change: found, at the version asked for, not under migration. */
static int enter_place(struct change *change, struct service_job *job, struct place *ret,
                       struct xp_err *err)
{
    const struct shard_place *names = job->args;
    int rc = find_place(job->cat, change->db, names, ret, err);
    if (rc == 0) {
        rc = change_check_editable(change, &ret->cluster, err);
    }
    if (rc == 0) {
        change_note(change, "cluster", ret->cluster.name);
        change_note(change, "dc", ret->dc.name);
        change_note(change, "shard", names->shard);
    }
    return rc;
}

static int give_group(struct change *change, struct service_job *job, const struct place *place,
                      int64_t group_id, struct xp_err *err)
{
    job->result.object_id = group_id;
    if (place->group_id == group_id) {
        return change_nothing(change, job);
    }
    job->result.changed_count = 1;
    change_note_number(change, "group", group_id);
    int rc = set_group(change, place->row_id, group_id, err);
    return rc == 0 ? change_effect_cluster(change, &job->result, &place->cluster, &place->dc, err)
                   : rc;
}

static int clear_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    struct place place;
    int rc = enter_place(change, job, &place, err);
    return rc == 0 ? give_group(change, job, &place, 0, err) : rc;
}

int shard_sentinels_clear(struct catalog *cat, const struct change_ctx *ctx,
                          const struct shard_place *place, struct catalog_result *ret_result,
                          struct xp_err *err)
{
    struct service_job job = { .args = place };
    struct store_op op = { .name = "shard.clear_sentinels", .fn = clear_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

static int choose_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    CLEANUP(candidates_done) struct candidates candidates = { 0 };
    struct place place;
    int rc = enter_place(change, job, &place, err);
    if (rc == 0) {
        rc = load_candidates(change->db, place.dc.id, &place.cluster, &candidates, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct candidate *present = candidate_of(&candidates, place.group_id);
    if (present) {
        present->shard_count--; /* itself */
    }
    const struct candidate *best = fewest(&candidates);
    if (!best) {
        return xp_fail(err, XP_CONFLICT,
                       "no active sentinel group of type %s and tag '%s' has a sentinel in dc %s",
                       place.cluster.type_name, place.cluster.tag, place.dc.name);
    }
    bool is_present_good = present && present->shard_count == best->shard_count;
    return give_group(change, job, &place, is_present_good ? present->id : best->id, err);
}

int shard_sentinels_choose(struct catalog *cat, const struct change_ctx *ctx,
                           const struct shard_place *place, struct catalog_result *ret_result,
                           struct xp_err *err)
{
    struct service_job job = { .args = place };
    struct store_op op = { .name = "shard.choose_sentinels", .fn = choose_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
