/* migration_rows.c - see migration_rows.h. */
#include <stdio.h>
#include <string.h>

#include "console/catalog/lookup.h"
#include "console/migration/migration_rows_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { LINE_TEXT_MAX = 16384, REASON_MAX = 4000, PUBLISH_INFO_MAX = 65536 };

/* ---- in memory ---- */

static void shard_row_done(struct migration_shard_row *row)
{
    free(row->name);
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        free(row->texts[i]);
    }
}

void migration_cluster_row_done(struct migration_cluster_row *row)
{
    for (size_t i = 0; i < row->shard_count; i++) {
        shard_row_done(&row->shards[i]);
    }
    for (size_t i = 0; i < row->follow_count; i++) {
        free(row->follows[i].dc);
        free(row->follows[i].text);
    }
    free(row->shards);
    free(row->follows);
    free(row->cluster);
    free(row->source_dc);
    free(row->dest_dc);
    free(row->reason);
    free(row->publish_info);
    *row = (struct migration_cluster_row){ 0 };
}

static char *copy_text(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static void copy_shard(const struct migration_shard_row *from, struct migration_shard_row *ret)
{
    *ret = *from;
    ret->name = copy_text(from->name);
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        ret->texts[i] = copy_text(from->texts[i]);
    }
}

void migration_cluster_row_copy(const struct migration_cluster_row *from,
                                struct migration_cluster_row *ret_row)
{
    struct migration_cluster_row *row = ret_row;
    *row = *from;
    row->cluster = copy_text(from->cluster);
    row->source_dc = copy_text(from->source_dc);
    row->dest_dc = copy_text(from->dest_dc);
    row->reason = copy_text(from->reason);
    row->publish_info = copy_text(from->publish_info);
    row->shards = xcalloc(from->shard_count + 1, sizeof(*row->shards));
    for (size_t i = 0; i < from->shard_count; i++) {
        copy_shard(&from->shards[i], &row->shards[i]);
    }
    row->follows = xcalloc(from->follow_count + 1, sizeof(*row->follows));
    for (size_t i = 0; i < from->follow_count; i++) {
        row->follows[i] = from->follows[i];
        row->follows[i].dc = copy_text(from->follows[i].dc);
        row->follows[i].text = copy_text(from->follows[i].text);
    }
}

bool migration_is_over(const struct migration_cluster_row *row)
{
    if (!migration_status_info(row->status)->is_terminal) {
        return false;
    }
    for (size_t i = 0; row->status != MIG_FORCE_END && i < row->follow_count; i++) {
        if (row->follows[i].result != RESULT_TRUE) {
            return false;
        }
    }
    return true;
}

static bool is_source_primary(const struct migration_cluster_row *row)
{
    return row->status == MIG_ROLL_BACK || row->status == MIG_ROLL_BACK_FAIL ||
           row->status == MIG_ABORTED;
}

int64_t migration_primary_dc(const struct migration_cluster_row *row)
{
    return is_source_primary(row) ? row->source_dc_id : row->dest_dc_id;
}

const char *migration_primary_dc_name(const struct migration_cluster_row *row)
{
    return is_source_primary(row) ? row->source_dc : row->dest_dc;
}

void migration_shard_row_init(struct migration_shard_row *shard)
{
    *shard = (struct migration_shard_row){ 0 };
    xp_check(shard_row_from_state("{}", shard, NULL) == 0);
}

/* ---- load ---- */

static int fill_words(const struct db_stmt *s, struct migration_cluster_row *row,
                      struct xp_err *err)
{
    bool is_known = migration_status_from_text(db_col_text(s, 10), &row->status) &&
                    migration_mode_from_text(db_col_text(s, 11), &row->mode) &&
                    migration_policy_from_text(db_col_text(s, 13), &row->policy) &&
                    migration_call_from_text(db_col_text(s, 20), &row->pending) &&
                    call_outcome_from_text(db_col_text(s, 21), &row->outcome);
    return is_known ? 0
                    : xp_fail(err, XP_INTERNAL, "migration %lld: unknown word in its row",
                              (long long)row->id);
}

static char *text_or_null(const struct db_stmt *s, int column)
{
    const char *text = db_col_text(s, column);
    return text_is_empty(text) ? NULL : xstrdup(text);
}

static int load_cluster(struct db *db, int64_t id, struct migration_cluster_row *row,
                        struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, Q_MIGRATION_LOAD, QUERY_ARGS(QI(id)));
    int rc = db_step(&s, err);
    if (rc != DB_ROW) {
        return rc < 0 ? rc : xp_fail(err, XP_NOT_FOUND, "migration %lld not found", (long long)id);
    }
    *row = (struct migration_cluster_row){
        .id = db_col_i64(&s, 0),
        .event_id = db_col_i64(&s, 1),
        .cluster_id = db_col_i64(&s, 2),
        .cluster = query_text(&s, 3),
        .source_dc_id = db_col_i64(&s, 4),
        .dest_dc_id = db_col_i64(&s, 5),
        .source_dc = query_text(&s, 6),
        .dest_dc = query_text(&s, 7),
        .start_ms = db_col_i64(&s, 8),
        .end_ms = db_col_i64(&s, 9),
        .is_disaster = db_col_i64(&s, 12) != 0,
        .is_force_publish = db_col_i64(&s, 14) != 0,
        .is_active_switched = db_col_i64(&s, 15) != 0,
        .epoch = db_col_i64(&s, 16),
        .reason = text_or_null(&s, 17),
        .publish_info = text_or_null(&s, 18),
        .phase_ms = db_col_i64(&s, 19),
        .tries = (int)db_col_i64(&s, 22),
    };
    return fill_words(&s, row, err);
}

static int load_shards(struct db *db, struct migration_cluster_row *row, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_LOAD_SHARDS, QUERY_ARGS(QI(row->id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (row->shard_count == MIGRATION_SHARDS_MAX) {
            return xp_fail(err, XP_TOO_LARGE, "migration %lld: more than %d shards",
                           (long long)row->id, MIGRATION_SHARDS_MAX);
        }
        struct migration_shard_row *shard = ARRAY_ADD(row->shards, row->shard_count);
        shard->id = db_col_i64(&s, 0);
        shard->shard_id = db_col_i64(&s, 1);
        shard->name = query_text(&s, 2);
        rc = shard_row_from_state(db_col_text(&s, 4), shard, err);
        if (rc == 0) {
            rc = shard_row_from_log(db_col_text(&s, 3), shard, err);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

static int load_follows(struct db *db, struct migration_cluster_row *row, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_LOAD_FOLLOWS, QUERY_ARGS(QI(row->id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct migration_follow_row *follow = ARRAY_ADD(row->follows, row->follow_count);
        *follow = (struct migration_follow_row){
            .dc_id = db_col_i64(&s, 0),
            .dc = query_text(&s, 1),
            .result = (enum step_result)db_col_i64(&s, 2),
            .text = text_or_null(&s, 3),
            .tries = (int)db_col_i64(&s, 4),
            .retry_at = db_col_i64(&s, 5),
            .is_pending = db_col_i64(&s, 6) != 0,
        };
    }
    return rc;
}

int migration_load(struct db *db, int64_t migration_cluster_id,
                   struct migration_cluster_row *ret_row, struct xp_err *err)
{
    struct migration_cluster_row row = { 0 };
    int rc = load_cluster(db, migration_cluster_id, &row, err);
    if (rc == 0) {
        rc = load_shards(db, &row, err);
    }
    if (rc == 0) {
        rc = load_follows(db, &row, err);
    }
    if (rc != 0) {
        migration_cluster_row_done(&row);
        return rc;
    }
    *ret_row = row;
    return 0;
}

/* ---- save ---- */

static int save_cluster(struct db *db, const struct migration_cluster_row *row, struct xp_err *err)
{
    const char *info = row->publish_info ? row->publish_info : "";
    if (strlen(info) > PUBLISH_INFO_MAX) {
        info = "{\"success\":true,\"message\":\"too long to be kept\"}";
    }
    AUTO_FREE char *reason = xstrdup(row->reason ? row->reason : "");
    if (strlen(reason) > REASON_MAX) {
        reason[REASON_MAX] = '\0';
    }
    return query_run(db, Q_MIGRATION_SAVE,
                     QUERY_ARGS(QI(row->id), QI(row->start_ms), QI(row->end_ms),
                                QT(migration_status_info(row->status)->text), QI(row->is_disaster),
                                QI(row->is_force_publish), QI(row->is_active_switched),
                                QI(row->epoch), QT(reason), QT(info), QI(row->phase_ms),
                                QT(migration_call_text(row->pending)),
                                QT(call_outcome_text(row->outcome)), QI(row->tries),
                                QI(migration_is_over(row)), QT(migration_mode_text(row->mode))),
                     err);
}

static int save_shard(struct db *db, const struct migration_cluster_row *row,
                      const struct migration_shard_row *shard, struct xp_err *err)
{
    AUTO_FREE char *log = migration_shard_log(shard, row->status);
    AUTO_FREE char *state = shard_row_state_text(shard);
    return query_run(db, Q_MIGRATION_SAVE_SHARD, QUERY_ARGS(QI(shard->id), QT(log), QT(state)),
                     err);
}

static int save_follow(struct db *db, int64_t id, const struct migration_follow_row *follow,
                       struct xp_err *err)
{
    return query_run(db, Q_MIGRATION_SAVE_FOLLOW,
                     QUERY_ARGS(QI(id), QI(follow->dc_id), QI(follow->result),
                                QT(follow->text ? follow->text : ""), QI(follow->tries),
                                QI(follow->retry_at), QI(follow->is_pending)),
                     err);
}

int migration_save(struct db *db, struct migration_cluster_row *row, struct xp_err *err)
{
    int rc = 0;
    bool is_any = row->is_dirty;
    for (size_t i = 0; rc == 0 && i < row->shard_count; i++) {
        if (row->shards[i].is_dirty) {
            rc = save_shard(db, row, &row->shards[i], err);
            row->shards[i].is_dirty = false;
        }
    }
    for (size_t i = 0; rc == 0 && i < row->follow_count; i++) {
        if (row->follows[i].is_dirty) {
            rc = save_follow(db, row->id, &row->follows[i], err);
            row->follows[i].is_dirty = false;
            is_any = true; /* is_followed */
        }
    }
    if (rc == 0 && is_any) {
        rc = save_cluster(db, row, err);
        row->is_dirty = false;
    }
    return rc;
}

/* ---- metadata ---- */

/* The cluster's version, and a push to every DC of it. */
static int tell_everybody(const struct change *change, const struct migration_cluster_row *row,
                          struct xp_err *err)
{
    struct cluster_ref ref;
    int rc = find_cluster(change->db, row->cluster, &ref, err);
    if (rc == 0 && ref.id != row->cluster_id) {
        rc = xp_fail(err, XP_CONFLICT, "cluster %s: another one has this name now", row->cluster);
    }
    struct catalog_result result = { 0 };
    struct dc_refs dcs = { .count = 0 };
    if (rc == 0) {
        rc = find_cluster_dcs(change->db, row->cluster_id, &dcs, err);
    }
    if (rc == 0) {
        rc = change_touch_cluster(change, row->cluster_id, err);
    }
    struct effect_on on = { EFFECT_CHANGED, &ref, dcs.items, dcs.count };
    if (rc == 0) {
        rc = change_effect(change, &result, &on, err);
    }
    catalog_result_done(&result);
    return rc;
}

/* Runs a statement that returns a row for what it changed. */
static int run_returning(struct db *db, enum query_id id, struct query_args args, bool *ret_changed,
                         struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, id, args);
    int rc = db_step(&s, err);
    *ret_changed = rc == DB_ROW;
    while (rc == DB_ROW) {
        rc = db_step(&s, err);
    }
    return rc;
}

int migration_set_cluster_status(const struct change *change,
                                 const struct migration_cluster_row *row, struct xp_err *err)
{
    const struct migration_status_info *info = migration_status_info(row->status);
    bool is_ours = false;
    int rc = run_returning(change->db, Q_MIGRATION_SET_STATUS,
                           QUERY_ARGS(QI(row->cluster_id), QT(info->cluster_status),
                                      QI(info->is_terminal ? 0 : row->event_id), QI(row->event_id)),
                           &is_ours, err);
    if (rc == 0 && !is_ours) {
        rc =
            xp_fail(err, XP_CONFLICT, "cluster %s: another migration event holds it", row->cluster);
    }
    return rc == 0 ? tell_everybody(change, row, err) : rc;
}

static int set_master(const struct change *change, const struct migration_cluster_row *row,
                      const struct migration_shard_row *shard, const struct addr *master,
                      struct xp_err *err)
{
    bool is_found = false;
    int rc = run_returning(
        change->db, Q_MIGRATION_SET_MASTER,
        QUERY_ARGS(QI(shard->shard_id), QT(master->host), QI(master->port), QI(change->now_ms)),
        &is_found, err);
    if (rc == 0 && !is_found) {
        log_warn("migration.master_unknown", "cluster", row->cluster, "shard", shard->name,
                 "master", ADDR_TEXT(master));
    }
    return rc;
}

int migration_switch_active(const struct change *change, const struct migration_cluster_row *row,
                            bool to_dest, struct xp_err *err)
{
    int64_t old_dc = to_dest ? row->source_dc_id : row->dest_dc_id;
    int64_t new_dc = to_dest ? row->dest_dc_id : row->source_dc_id;
    int rc = query_run(change->db, Q_MIGRATION_SET_ACTIVE,
                       QUERY_ARGS(QI(row->cluster_id), QI(new_dc)), err);
    if (rc == 0) {
        rc = query_run(change->db, Q_MIGRATION_CLEAR_MASTERS,
                       QUERY_ARGS(QI(row->cluster_id), QI(old_dc), QI(0), QI(change->now_ms)), err);
    }
    for (size_t i = 0; rc == 0 && i < row->shard_count; i++) {
        const struct migration_shard_row *shard = &row->shards[i];
        const struct addr *master = to_dest ? &shard->new_master : &shard->old_master;
        if ((to_dest && !shard->is_promoted) || addr_is_none(master)) {
            continue;
        }
        rc = query_run(
            change->db, Q_MIGRATION_CLEAR_MASTERS,
            QUERY_ARGS(QI(row->cluster_id), QI(new_dc), QI(shard->shard_id), QI(change->now_ms)),
            err);
        if (rc == 0) {
            rc = set_master(change, row, shard, master, err);
        }
    }
    return rc == 0 ? tell_everybody(change, row, err) : rc;
}

/* ---- timeline ---- */

int migration_add_line(struct db *db, int64_t migration_cluster_id, wall_ms now,
                       const struct migration_line *line, struct xp_err *err)
{
    const char *text = line->text ? line->text : "";
    AUTO_FREE char *cut = xstrndup(text, strnlen(text, LINE_TEXT_MAX));
    return query_run(db, Q_MIGRATION_ADD_LINE,
                     QUERY_ARGS(QI(migration_cluster_id), QI(line->shard_id), QI(now),
                                QT(line->kind), QT(line->from ? line->from : ""),
                                QT(line->to ? line->to : ""), QT(line->rule ? line->rule : ""),
                                QT(cut), QI(line->duration_ms)),
                     err);
}
