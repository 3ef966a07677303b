/* shard_page.c - see shard_page.h. A replacement: check the keepers against their containers, remove what is not given, add what
 * is not there, then flags and priorities. */
#include "console/catalog/shard_page.h"
#include "console/catalog/instance_change.h"
#include "console/catalog/keeper_choice.h"
#include "console/catalog/keeper_containers.h"
#include "console/catalog/keepers_internal.h"
#include "console/catalog/place.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { REDISES_MAX = 1000, KEEPERS_MAX = 2 * KEEPERS_PER_SHARD };

/* ---- reading ---- */

void shard_page_done(struct shard_page *page)
{
    free(page->shard);
    redis_rows_done(&page->redises);
    redis_rows_done(&page->keepers);
    *page = (struct shard_page){ 0 };
}

static int load_rows(struct db *db, int64_t place_id, struct shard_page *page, struct xp_err *err)
{
    int rc = place_rows(db, place_id, "redis", &page->redises, err);
    return rc == 0 ? place_rows(db, place_id, "keeper", &page->keepers, err) : rc;
}

static int get_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct shard_page *page = job->ret;
    struct place_ref place;
    int rc = place_find(job->cat, db, job->args, &place, err);
    if (rc == 0 && !place.id) {
        return place_not_found(job->args, err);
    }
    if (rc == 0) {
        rc = load_rows(db, place.id, page, err);
    }
    if (rc == 0) {
        rc = query_i64(db, Q_PLACE_SENTINEL, QUERY_ARGS(QI(place.id)), &page->sentinel_id, err);
    }
    page->shard_id = place.shard.id;
    page->shard = xstrdup(place.shard.name);
    page->cluster_id = place.cluster.id;
    page->place_id = place.id;
    return rc;
}

int shard_page_get(struct catalog *cat, const struct shard_place *place,
                   struct shard_page *ret_page, struct xp_err *err)
{
    struct shard_page page = { 0 };
    struct read_job job = { .cat = cat, .args = place, .ret = &page };
    int rc = store_read(cat->store, get_in, &job, err);
    if (rc != 0) {
        shard_page_done(&page);
        return rc;
    }
    *ret_page = page;
    return 0;
}

/* ---- what is there, and what is given ---- */

static const struct page_keeper *given_keeper(const struct shard_page_edit *edit,
                                              const struct redis_row *row)
{
    for (size_t i = 0; i < edit->keeper_count; i++) {
        if (edit->keepers[i].container_id == row->container_id &&
            addr_eq(&edit->keepers[i].addr, &row->addr)) {
            return &edit->keepers[i];
        }
    }
    return NULL;
}

static bool is_given_redis(const struct shard_page_edit *edit, const struct redis_row *row)
{
    for (size_t i = 0; i < edit->redis_count; i++) {
        if (addr_eq(&edit->redises[i].addr, &row->addr)) {
            return true;
        }
    }
    return false;
}

static const struct redis_row *stored_at(const struct redis_rows *rows, const struct addr *addr)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (addr_eq(&rows->items[i].addr, addr)) {
            return &rows->items[i];
        }
    }
    return NULL;
}

static const struct redis_row *stored_in(const struct redis_rows *rows, int64_t container_id)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].container_id == container_id) {
            return &rows->items[i];
        }
    }
    return NULL;
}

/* ---- checks of the keepers ---- */

static int check_different(const struct shard_page_edit *edit, struct xp_err *err)
{
    struct str list AUTO_STR = STR_INIT(1024);
    bool is_double = false;
    for (size_t i = 0; i < edit->keeper_count; i++) {
        str_printf(&list, "%s%s", i ? ", " : "", ADDR_TEXT(&edit->keepers[i].addr));
        for (size_t j = 0; j < i; j++) {
            is_double = is_double || edit->keepers[i].container_id == edit->keepers[j].container_id;
        }
    }
    return is_double ? xp_fail(err, XP_INVALID,
                               "Keepers should be assigned to different keepercontainer[%s]",
                               str_text(&list))
                     : 0;
}

static int check_numbers(const struct shard_page_edit *edit, struct xp_err *err)
{
    if (edit->keeper_count == 1) {
        return xp_fail(err, XP_INVALID, "Keepers' size must be 0 or at least %d",
                       KEEPERS_PER_SHARD);
    }
    if (edit->keeper_count > KEEPERS_MAX) {
        return xp_fail(err, XP_INVALID, "At most %d keepers per disk medium", KEEPERS_PER_SHARD);
    }
    if (edit->redis_count > REDISES_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu redises in one call: at most %d", edit->redis_count,
                       REDISES_MAX);
    }
    size_t master_count = 0;
    for (size_t i = 0; i < edit->redis_count; i++) {
        master_count += edit->redises[i].master == TRI_YES;
    }
    if (master_count > 1) {
        return xp_fail(err, XP_INVALID, "redises: %zu masters are given, at most one can be",
                       master_count);
    }
    for (size_t i = 0; i < edit->keeper_count; i++) {
        const struct page_keeper *k = &edit->keepers[i];
        if (k->has_priority && (k->priority < 0 || k->priority > INT32_MAX)) {
            return xp_fail(err, XP_INVALID, "keeperPriority %lld: must be 0..%d",
                           (long long)k->priority, INT32_MAX);
        }
    }
    return check_different(edit, err);
}

static const struct keeper_container_row *container_of(const struct keeper_container_rows *rows,
                                                       int64_t id)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].id == id) {
            return &rows->items[i];
        }
    }
    return NULL;
}

static int check_container(const struct page_keeper *keeper,
                           const struct keeper_container_rows *containers,
                           enum keeper_medium *ret_medium, struct xp_err *err)
{
    const struct keeper_container_row *row = container_of(containers, keeper->container_id);
    if (!row) {
        return xp_fail(err, XP_NOT_FOUND, "Cannot find related keepercontainer");
    }
    if (!text_eq_nocase(row->addr.host, keeper->addr.host)) {
        return xp_fail(err, XP_INVALID, "Keeper's ip should be equal to keepercontainer's ip");
    }
    *ret_medium = keeper_medium_of(row->disk_type);
    return 0;
}

/* Keepers and their containers, all of this DC. */
static int check_containers(struct db *db, const struct shard_page_edit *edit, int64_t dc_id,
                            struct xp_err *err)
{
    CLEANUP(keeper_container_rows_done) struct keeper_container_rows containers = { 0 };
    int counts[] = { [KEEPER_MEDIUM_BM] = 0, [KEEPER_MEDIUM_TFS] = 0 };
    int rc = edit->keeper_count ? keeper_containers_load(db, dc_id, &containers, err) : 0;
    for (size_t i = 0; rc == 0 && i < edit->keeper_count; i++) {
        enum keeper_medium medium = KEEPER_MEDIUM_BM;
        rc = check_container(&edit->keepers[i], &containers, &medium, err);
        if (rc == 0 && ++counts[medium] > KEEPERS_PER_SHARD) {
            rc = xp_fail(err, XP_INVALID, "At most %d keepers per disk medium", KEEPERS_PER_SHARD);
        }
    }
    return rc;
}

/* ---- replacing ---- */

struct replacement {
    struct change *change;
    struct service_job *job;
    const struct shard_page_edit *edit;
    struct place_ref place;
    struct instance_target target;
    struct shard_page now;
};

static int remove_keepers(struct replacement *r, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && r->edit->has_keepers && i < r->now.keepers.count; i++) {
        const struct redis_row *row = &r->now.keepers.items[i];
        if (!given_keeper(r->edit, row)) {
            rc = keeper_delete(r->change, &r->target, row, err);
            r->job->result.changed_count++;
        }
    }
    return rc;
}

static int remove_redises(struct replacement *r, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && r->edit->has_redises && i < r->now.redises.count; i++) {
        const struct redis_row *row = &r->now.redises.items[i];
        if (!is_given_redis(r->edit, row)) {
            struct instance_spec spec = { .addr = ADDR_TEXT(&row->addr) };
            rc = instance_remove(r->change, &r->target, &spec, &r->job->result.changed_count, err);
        }
    }
    return rc;
}

static int find_az_name(struct replacement *r, int64_t az_id, char **ret_name, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(r->change->db, Q_AZ_NAME, QUERY_ARGS(QI(az_id), QI(r->place.dc.id)));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        *ret_name = query_text(&s, 0);
        return 0;
    }
    return rc < 0 ? rc
                  : xp_fail(err, XP_NOT_FOUND, "azId %lld: not an availability zone of dc %s",
                            (long long)az_id, r->place.dc.name);
}

static int put_redis(struct replacement *r, const struct page_redis *given, struct xp_err *err)
{
    const struct redis_row *row = stored_at(&r->now.redises, &given->addr);
    int64_t *changed = &r->job->result.changed_count;
    struct instance_spec spec = { .addr = ADDR_TEXT(&given->addr),
                                  .is_master = given->master == TRI_YES };
    if (row) {
        bool stays = given->master == TRI_ABSENT || row->is_master == spec.is_master;
        return stays ? 0 : instance_set_master(r->change, &r->target, &spec, changed, err);
    }
    AUTO_FREE char *az = NULL;
    int rc = given->az_id ? find_az_name(r, given->az_id, &az, err) : 0;
    spec.az = az;
    return rc == 0 ? instance_add(r->change, &r->target, &spec, changed, err) : rc;
}

/* At most one is a given master, and it takes the flag from the others, wherever it stands in the list. */
static int put_redises(struct replacement *r, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && r->edit->has_redises && i < r->edit->redis_count; i++) {
        rc = put_redis(r, &r->edit->redises[i], err);
    }
    return rc;
}

static int set_priority(struct replacement *r, const struct redis_row *row, int64_t priority,
                        struct xp_err *err)
{
    if (row->priority == priority) {
        return 0;
    }
    AUTO_FREE char *key = xasprintf("priority_%lld", (long long)priority);
    instance_note(r->change, &r->target, key, &row->addr);
    r->job->result.changed_count++;
    return query_run(r->change->db, Q_KEEPER_SET_PRIORITY,
                     QUERY_ARGS(QI(row->id), QI(priority), QI(r->change->now_ms)), err);
}

static int put_keeper(struct replacement *r, const struct page_keeper *given, struct xp_err *err)
{
    const struct redis_row *row = stored_in(&r->now.keepers, given->container_id);
    if (row && addr_eq(&row->addr, &given->addr)) {
        return given->has_priority ? set_priority(r, row, given->priority, err) : 0;
    }
    if (row) {
        return xp_fail(
            err, XP_CONFLICT,
            "If you wanna change keeper port in same keepercontainer,please delete it first.");
    }
    int64_t taken = 0;
    int rc = query_i64(r->change->db, Q_REDIS_BY_ADDR,
                       QUERY_ARGS(QT(given->addr.host), QI(given->addr.port)), &taken, err);
    if (rc == 0 && taken) {
        return xp_fail(err, XP_CONFLICT, "Already in use for keeper's port : %d", given->addr.port);
    }
    struct keeper_home home = { given->container_id, given->addr };
    r->job->result.changed_count++;
    return rc == 0 ? keeper_insert(r->change, &r->target, &home,
                                   given->has_priority ? given->priority : 1, err)
                   : rc;
}

static int put_keepers(struct replacement *r, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && r->edit->has_keepers && i < r->edit->keeper_count; i++) {
        rc = put_keeper(r, &r->edit->keepers[i], err);
    }
    return rc;
}

static int check_place(const struct replacement *r, struct xp_err *err)
{
    if (r->edit->keeper_count > 0 && !r->place.cluster.info->has_keepers) {
        return xp_fail(err, XP_INVALID, "cluster %s not support keepers", r->place.cluster.name);
    }
    return check_containers(r->change->db, r->edit, r->place.dc.id, err);
}

typedef int step_fn(struct replacement *, struct xp_err *);

static int replace(struct replacement *r, struct xp_err *err)
{
    static step_fn *const steps[] = { remove_keepers, remove_redises, put_redises, put_keepers };
    int rc = load_rows(r->change->db, r->place.id, &r->now, err);
    if (rc == 0) {
        rc = check_place(r, err);
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(steps); i++) {
        rc = steps[i](r, err);
    }
    if (rc == 0 && r->job->result.changed_count == 0) {
        return change_nothing(r->change, r->job);
    }
    return rc == 0 ? change_effect_cluster(r->change, &r->job->result, &r->place.cluster,
                                           &r->place.dc, err)
                   : rc;
}

static int replace_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    struct replacement r = { .change = change, .job = job, .edit = job->args };
    int rc = place_resolve(job->cat, change, &r.edit->place, &r.place, err);
    r.target = place_target(&r.place);
    if (rc == 0) {
        rc = replace(&r, err);
    }
    shard_page_done(&r.now);
    return rc;
}

int shard_page_replace(struct catalog *cat, const struct change_ctx *ctx,
                       const struct shard_page_edit *edit, struct catalog_result *ret_result,
                       struct xp_err *err)
{
    int rc = check_numbers(edit, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "shard.replace", .fn = replace_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}
