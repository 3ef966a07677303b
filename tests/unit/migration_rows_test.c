/* Migrations as they are stored: what is written comes back, the log is x-pipe's, cluster status and active DC go with their pushes. */
#include "tests/unit/migration_fixture.h"

#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

static int load_in(struct db *db, void *arg, struct xp_err *err)
{
    return migration_load(db, 1, arg, err);
}

static struct migration_cluster_row load(struct world *w)
{
    struct migration_cluster_row row = { 0 };
    if (store_read(w->store, load_in, &row, &w->err) != 0) {
        fail_msg("%s", w->err.msg);
    }
    return row;
}

static int save_in(struct db *db, void *arg, struct xp_err *err)
{
    return migration_save(db, arg, err);
}

static void save(struct world *w, struct migration_cluster_row *row)
{
    if (store_bookkeep(w->store, save_in, row, &w->err) != 0) {
        fail_msg("%s", w->err.msg);
    }
}

static void the_words_are_those_of_xpipe(void **state)
{
    (void)state;
    for (int i = 0; i < MIG_STATUSES; i++) {
        const struct migration_status_info *info = migration_status_info((enum migration_status)i);
        enum migration_status back = MIG_STATUSES;
        assert_true(strlen(info->text) <= 16);
        assert_true(migration_status_from_text(info->text, &back));
        assert_int_equal(back, i);
        assert_false(info->is_paused && info->is_terminal);
        assert_int_equal(info->is_terminal, text_eq(info->cluster_status, "Normal"));
        assert_int_equal(info->is_terminal, info->percent == 100);
    }
    enum migration_mode mode = MODE_AUTO;
    assert_true(migration_mode_from_text("Disaster", &mode));
    assert_int_equal(mode, MODE_DISASTER);
    assert_false(migration_mode_from_text("", &mode));
    enum migration_policy policy = POLICY_CANARY;
    assert_true(migration_policy_from_text("all", &policy));
    assert_int_equal(policy, POLICY_ALL);
    assert_string_equal(migration_step_key(STEP_NEW_PRIMARY), "MIGRATE_NEW_PRIMARY_DC");
}

static void a_fresh_row_is_loaded(void **state)
{
    struct world *w = *state;
    struct migration_cluster_row row = load(w);
    assert_string_equal(row.cluster, "c1");
    assert_string_equal(row.source_dc, "jq");
    assert_string_equal(row.dest_dc, "oy");
    assert_int_equal(row.status, MIG_INITIATED);
    assert_int_equal(row.mode, MODE_PLANNED);
    assert_int_equal(row.policy, POLICY_ALL);
    assert_int_equal(row.shard_count, 2);
    assert_string_equal(row.shards[1].name, "s2");
    assert_int_equal(row.shards[0].fence_offset, -1);
    assert_null(row.reason);
    migration_cluster_row_done(&row);
}

static void fill_shard(struct migration_shard_row *shard)
{
    shard->results[STEP_CHECK] = RESULT_TRUE;
    shard->texts[STEP_CHECK] = xstrdup("[info][2024-01-01 00:00:00.000]Check success\n");
    shard->results[STEP_PREVIOUS_PRIMARY] = RESULT_FALSE;
    shard->texts[STEP_PREVIOUS_PRIMARY] = xstrdup("no \"way\"\n");
    shard->texts[STEP_OTHER_DC] = xstrdup("FRA: waiting\n");
    shard->pending = CALL_PROMOTE;
    shard->last_call = CALL_FREEZE;
    shard->outcome = OUTCOME_STALE;
    shard->tries = 2;
    shard->fence = FENCE_FROZEN;
    shard->may_be_fenced = shard->is_fence_unsure = shard->is_drained = true;
    shard->drain = OUTCOME_OK;
    shard->is_promoted = shard->may_be_promoted = shard->is_promote_unsure = true;
    shard->is_unfenced = true;
    shard->fence_offset = 123456789012;
    (void)snprintf(shard->fence_repl_id, REPL_ID_SIZE, "%040d", 7);
    shard->saved = (struct fence_saved){ true, 1, 10, true };
    shard->old_master = addr_of("10.1.0.3", 6379);
    shard->new_master = addr_of("::1", 6380);
    shard->lost_bytes = -1;
    shard->promote_epoch = 4;
    shard->held_at = 11;
    shard->promoted_at = 12;
    shard->is_dirty = true;
}

static void check_shard(const struct migration_shard_row *shard)
{
    assert_int_equal(shard->results[STEP_CHECK], RESULT_TRUE);
    assert_string_equal(shard->texts[STEP_PREVIOUS_PRIMARY], "no \"way\"\n");
    assert_int_equal(shard->results[STEP_OTHER_DC], RESULT_NONE);
    assert_string_equal(shard->texts[STEP_OTHER_DC], "FRA: waiting\n");
    assert_int_equal(shard->pending, CALL_PROMOTE);
    assert_int_equal(shard->last_call, CALL_FREEZE);
    assert_int_equal(shard->outcome, OUTCOME_STALE);
    assert_int_equal(shard->tries, 2);
    assert_int_equal(shard->fence, FENCE_FROZEN);
    assert_true(shard->may_be_fenced && shard->is_fence_unsure && shard->is_drained);
    assert_int_equal(shard->drain, OUTCOME_OK);
    assert_true(shard->is_promoted && shard->may_be_promoted && shard->is_promote_unsure);
    assert_true(shard->is_unfenced && shard->saved.was_writable_replica && shard->saved.is_known);
    assert_true(shard->fence_offset == 123456789012);
    assert_int_equal(strlen(shard->fence_repl_id), 40);
    assert_string_equal(ADDR_TEXT(&shard->new_master), "[::1]:6380");
    assert_int_equal(shard->lost_bytes, -1);
    assert_int_equal(shard->promote_epoch, 4);
    assert_int_equal(shard->held_at, 11);
    assert_int_equal(shard->promoted_at, 12);
}

static void what_is_saved_is_loaded(void **state)
{
    struct world *w = *state;
    struct migration_cluster_row row = load(w);
    fill_shard(&row.shards[1]);
    row.status = MIG_PUBLISH_FAIL;
    row.is_disaster = row.is_force_publish = row.is_active_switched = true;
    row.epoch = 9;
    row.reason = xstrdup("dc oy: nobody");
    row.publish_info = xstrdup("{\"success\":false}");
    row.phase_ms = 77;
    row.pending = CALL_PUBLISH;
    row.outcome = OUTCOME_REFUSED;
    row.tries = 3;
    row.follows = xcalloc(1, sizeof(*row.follows));
    row.follow_count = 1;
    row.follows[0] = (struct migration_follow_row){ .dc_id = 3,
                                                    .dc = xstrdup("FRA"),
                                                    .result = RESULT_FALSE,
                                                    .text = xstrdup("away"),
                                                    .tries = 2,
                                                    .retry_at = 99,
                                                    .is_pending = true,
                                                    .is_dirty = true };
    row.is_dirty = true;
    save(w, &row);
    migration_cluster_row_done(&row);
    row = load(w);
    check_shard(&row.shards[1]);
    assert_int_equal(row.shards[0].fence, FENCE_NONE);
    assert_int_equal(row.status, MIG_PUBLISH_FAIL);
    assert_true(row.is_disaster && row.is_force_publish && row.is_active_switched);
    assert_int_equal(row.epoch, 9);
    assert_string_equal(row.reason, "dc oy: nobody");
    assert_string_equal(row.publish_info, "{\"success\":false}");
    assert_int_equal(row.pending, CALL_PUBLISH);
    assert_int_equal(row.outcome, OUTCOME_REFUSED);
    assert_int_equal(row.tries, 3);
    assert_int_equal(row.follow_count, 1);
    assert_string_equal(row.follows[0].dc, "FRA");
    assert_true(row.follows[0].is_pending);
    assert_int_equal(row.follows[0].retry_at, 99);
    migration_cluster_row_done(&row);
}

static void the_log_is_the_one_of_the_pages(void **state)
{
    (void)state;
    struct migration_shard_row shard = { 0 };
    fill_shard(&shard);
    AUTO_FREE char *log = migration_shard_log(&shard, MIG_MIGRATING);
    json_t *json = json_loads(log, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "status")), "FAIL");
    const json_t *steps = json_object_get(json, "steps");
    assert_int_equal(json_object_size(steps), 2);
    assert_non_null(
        json_object_get(json_object_get(steps, "MIGRATE_PREVIOUS_PRIMARY_DC"), "false"));
    const json_t *master = json_object_get(json, "newMaster");
    assert_string_equal(json_string_value(json_object_get(master, "host")), "::1");
    const json_t *message = json_object_get(json, "previousPrimaryDcMessage");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(message, "masterInfo"),
                                                        "masterReplOffset")),
                     123456789012);
    json_decref(json);
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        free(shard.texts[i]);
    }
}

static void who_is_over_and_who_is_primary(void **state)
{
    (void)state;
    struct migration_follow_row follow = { .result = RESULT_FALSE };
    struct migration_cluster_row row = { .status = MIG_SUCCESS,
                                         .source_dc_id = 1,
                                         .dest_dc_id = 2 };
    assert_true(migration_is_over(&row));
    row.follows = &follow;
    row.follow_count = 1;
    assert_false(migration_is_over(&row));
    assert_int_equal(migration_primary_dc(&row), 2);
    row.status = MIG_ABORTED;
    assert_false(migration_is_over(&row));
    assert_int_equal(migration_primary_dc(&row), 1);
    row.status = MIG_FORCE_END;
    assert_true(migration_is_over(&row));
    row.status = MIG_PUBLISH;
    follow.result = RESULT_TRUE;
    assert_false(migration_is_over(&row));
}

static void assert_served(struct world *w, const char *dc, const char *active_dc)
{
    struct dc_snapshot *s = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, dc, 0, &s, &w->err), 0);
    assert_int_equal(s->cluster_count, 1);
    assert_string_equal(s->clusters[0].active_dc, active_dc);
    dc_snapshot_free(s);
}

/* Only the destination, only while it is Migrating: its periodic refresh must not undo a promotion. */
static void the_destination_is_told_first(void **state)
{
    struct world *w = *state;
    assert_served(w, "oy", "jq");
    sql(w, "UPDATE cluster_tbl SET status = 'Migrating'");
    assert_served(w, "oy", "oy");
    assert_served(w, "jq", "jq");
    assert_served(w, "FRA", "jq");
    sql(w, "UPDATE cluster_tbl SET status = 'Rollback'");
    assert_served(w, "oy", "jq");
}

static int switch_in(struct change *change, void *arg, struct xp_err *err)
{
    const struct migration_cluster_row *row = arg;
    int rc = migration_set_cluster_status(change, row, err);
    return rc == 0 ? migration_switch_active(change, row, true, err) : rc;
}

static void the_switch_is_seen_and_pushed(void **state)
{
    struct world *w = *state;
    sql(w, "DELETE FROM push_outbox; UPDATE redis_tbl SET master = 1 WHERE redis_ip LIKE '10.1.%'");
    struct migration_cluster_row row = load(w);
    row.status = MIG_PUBLISH;
    for (size_t i = 0; i < 2; i++) {
        row.shards[i].is_promoted = true;
        row.shards[i].new_master = addr_of(i == 0 ? "10.2.0.3" : "10.2.0.4", 6380);
    }
    struct store_op op = { "migration.turn", switch_in, &row };
    assert_int_equal(store_change(w->store, &w->ctx, &op, NULL, &w->err), 0);
    ASSERT_SQL(w, "Migrating", "SELECT status FROM cluster_tbl WHERE id = 1");
    ASSERT_SQL(w, "1", "SELECT migration_event_id FROM cluster_tbl WHERE id = 1");
    ASSERT_SQL(
        w, "oy",
        "SELECT d.dc_name FROM cluster_tbl c JOIN dc_tbl d ON d.id=c.activedc_id WHERE c.id=1");
    ASSERT_SQL(w, "10.2.0.3:6380,10.2.0.4:6380",
               "SELECT group_concat(a) FROM (SELECT redis_ip||':'||redis_port AS a FROM redis_tbl "
               "WHERE master = 1 ORDER BY redis_ip)");
    ASSERT_SQL(w, "3", "SELECT count(*) FROM push_outbox WHERE cluster_name = 'c1'");
    row.status = MIG_SUCCESS;
    assert_int_equal(store_change(w->store, &w->ctx, &op, NULL, &w->err), 0);
    ASSERT_SQL(w, "Normal 0", "SELECT status||' '||migration_event_id FROM cluster_tbl WHERE id=1");
    sql(w, "UPDATE cluster_tbl SET status = 'Lock', migration_event_id = 8");
    assert_int_equal(store_change(w->store, &w->ctx, &op, NULL, &w->err), XP_CONFLICT);
    ASSERT_SQL(w, "8", "SELECT migration_event_id FROM cluster_tbl WHERE id = 1");
    migration_cluster_row_done(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_are_those_of_xpipe),
        cmocka_unit_test_setup_teardown(a_fresh_row_is_loaded, migration_world_open, world_close),
        cmocka_unit_test_setup_teardown(what_is_saved_is_loaded, migration_world_open, world_close),
        cmocka_unit_test(the_log_is_the_one_of_the_pages),
        cmocka_unit_test(who_is_over_and_who_is_primary),
        cmocka_unit_test_setup_teardown(the_destination_is_told_first, migration_world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(the_switch_is_seen_and_pushed, migration_world_open,
                                        world_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
