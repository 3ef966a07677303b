/* shard_row_json.c - the two JSON columns of a shard of a migration: the log as x-pipe's pages read it (dr-switchover.md 3.5), and
 * everything else. See migration_rows_internal.h. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_rows_internal.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

/* ---- words ---- */

static const char *const call_texts[MIGRATION_CALLS] = {
    [CALL_NONE] = "",           [CALL_CHECK] = "check",
    [CALL_HOLD] = "hold",       [CALL_DRAIN] = "drain",
    [CALL_FREEZE] = "freeze",   [CALL_PROMOTE] = "promote",
    [CALL_DEMOTE] = "demote",   [CALL_RELEASE] = "release",
    [CALL_FOLLOW] = "follow",   [CALL_PRECHECK] = "precheck",
    [CALL_PUBLISH] = "publish",
};
static const char *const outcome_texts[] = {
    [OUTCOME_NONE] = "",           [OUTCOME_OK] = "ok",
    [OUTCOME_REFUSED] = "refused", [OUTCOME_UNREACHABLE] = "unreachable",
    [OUTCOME_UNKNOWN] = "unknown", [OUTCOME_STALE] = "stale",
    [OUTCOME_NOT_YET] = "not_yet",
};

const char *migration_call_text(enum migration_call call)
{
    xp_check((unsigned)call < ARRAY_LEN(call_texts));
    return call_texts[call];
}

const char *call_outcome_text(enum call_outcome outcome)
{
    xp_check((unsigned)outcome < ARRAY_LEN(outcome_texts));
    return outcome_texts[outcome];
}

static bool word_of(const char *text, const char *const *words, size_t count, int *ret_value)
{
    for (size_t i = 0; i < count; i++) {
        if (text_eq(text, words[i])) {
            *ret_value = (int)i;
            return true;
        }
    }
    return false;
}

bool migration_call_from_text(const char *text, enum migration_call *ret_call)
{
    int value = 0;
    bool is_known = word_of(text, call_texts, ARRAY_LEN(call_texts), &value);
    *ret_call = (enum migration_call)value;
    return is_known;
}

bool call_outcome_from_text(const char *text, enum call_outcome *ret_outcome)
{
    int value = 0;
    bool is_known = word_of(text, outcome_texts, ARRAY_LEN(outcome_texts), &value);
    *ret_outcome = (enum call_outcome)value;
    return is_known;
}

/* ---- state ---- */

static int decode_call(const json_t *value, void *field, struct xp_err *err)
{
    return migration_call_from_text(json_string_value(value), field)
               ? 0
               : xp_fail(err, XP_INVALID, "is not a call");
}

static int decode_outcome(const json_t *value, void *field, struct xp_err *err)
{
    return call_outcome_from_text(json_string_value(value), field)
               ? 0
               : xp_fail(err, XP_INVALID, "is not an outcome");
}

static int decode_fence(const json_t *value, void *field, struct xp_err *err)
{
    enum fence_state *state = field;
    for (int i = FENCE_NONE; i <= FENCE_UNREACHABLE; i++) {
        if (text_eq(json_string_value(value), fence_state_text((enum fence_state)i))) {
            *state = (enum fence_state)i;
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "is not a state of a fence");
}

#define SHARD(member) offsetof(struct migration_shard_row, member)
#define SAVED(member) offsetof(struct fence_saved, member)
/* clang-format off */
static const struct jfield saved_fields[] = {
    { .name = "known", .type = JF_BOOL, .offset = SAVED(is_known) },
    { .name = "minSlaves", .type = JF_INT64, .offset = SAVED(min_slaves) },
    { .name = "maxLagS", .type = JF_INT64, .offset = SAVED(max_lag_s) },
    { .name = "writableReplica", .type = JF_BOOL, .offset = SAVED(was_writable_replica) },
    { .name = NULL },
};
static const struct jfield state_fields[] = {
    { .name = "pending", .type = JF_CUSTOM, .offset = SHARD(pending), .decode = decode_call },
    { .name = "lastCall", .type = JF_CUSTOM, .offset = SHARD(last_call), .decode = decode_call },
    { .name = "outcome", .type = JF_CUSTOM, .offset = SHARD(outcome), .decode = decode_outcome },
    { .name = "tries", .type = JF_INT32, .offset = SHARD(tries) },
    { .name = "failingSince", .type = JF_INT64, .offset = SHARD(failing_since) },
    { .name = "failedAt", .type = JF_INT64, .offset = SHARD(failed_at) },
    { .name = "fence", .type = JF_CUSTOM, .offset = SHARD(fence), .decode = decode_fence },
    { .name = "mayBeFenced", .type = JF_BOOL, .offset = SHARD(may_be_fenced) },
    { .name = "fenceUnsure", .type = JF_BOOL, .offset = SHARD(is_fence_unsure) },
    { .name = "metaFenced", .type = JF_BOOL, .offset = SHARD(is_meta_fenced) },
    { .name = "drain", .type = JF_CUSTOM, .offset = SHARD(drain), .decode = decode_outcome },
    { .name = "drained", .type = JF_BOOL, .offset = SHARD(is_drained) },
    { .name = "promoted", .type = JF_BOOL, .offset = SHARD(is_promoted) },
    { .name = "mayBePromoted", .type = JF_BOOL, .offset = SHARD(may_be_promoted) },
    { .name = "promoteUnsure", .type = JF_BOOL, .offset = SHARD(is_promote_unsure) },
    { .name = "unfenced", .type = JF_BOOL, .offset = SHARD(is_unfenced) },
    { .name = "fenceOffset", .type = JF_INT64, .offset = SHARD(fence_offset) },
    { .name = "fenceReplId", .type = JF_CUSTOM, .offset = SHARD(fence_repl_id), .decode = switch_words_decode_repl_id },
    { .name = "saved", .type = JF_OBJECT, .offset = SHARD(saved), .sub = saved_fields },
    { .name = "oldMaster", .type = JF_CUSTOM, .offset = SHARD(old_master), .decode = switch_words_decode_addr },
    { .name = "newMaster", .type = JF_CUSTOM, .offset = SHARD(new_master), .decode = switch_words_decode_addr },
    { .name = "lostBytes", .type = JF_INT64, .offset = SHARD(lost_bytes) },
    { .name = "promoteEpoch", .type = JF_INT64, .offset = SHARD(promote_epoch) },
    { .name = "heldAt", .type = JF_INT64, .offset = SHARD(held_at) },
    { .name = "promotedAt", .type = JF_INT64, .offset = SHARD(promoted_at) },
    { .name = NULL },
};
/* clang-format on */

static void put(json_t *object, const char *key, json_t *value)
{
    xp_check(json_object_set_new(object, key, value) == 0);
}

static json_t *addr_json(const struct addr *addr)
{
    return addr_is_none(addr) ? json_null() : jd_text(ADDR_TEXT(addr));
}

static json_t *waiting_texts(const struct migration_shard_row *row)
{
    json_t *texts = json_object();
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        if (row->results[i] == RESULT_NONE && row->texts[i]) {
            put(texts, migration_step_key((enum migration_step)i), jd_text(row->texts[i]));
        }
    }
    return texts;
}

static void put_fence(json_t *state, const struct migration_shard_row *row)
{
    put(state, "fence", json_string(fence_state_text(row->fence)));
    put(state, "mayBeFenced", json_boolean(row->may_be_fenced));
    put(state, "fenceUnsure", json_boolean(row->is_fence_unsure));
    put(state, "metaFenced", json_boolean(row->is_meta_fenced));
    put(state, "drain", json_string(call_outcome_text(row->drain)));
    put(state, "drained", json_boolean(row->is_drained));
    put(state, "fenceOffset", json_integer(row->fence_offset));
    put(state, "fenceReplId", jd_text(row->fence_repl_id));
    put(state, "oldMaster", addr_json(&row->old_master));
    put(state, "heldAt", json_integer(row->held_at));
    json_t *saved = json_object();
    put(saved, "known", json_boolean(row->saved.is_known));
    put(saved, "minSlaves", json_integer(row->saved.min_slaves));
    put(saved, "maxLagS", json_integer(row->saved.max_lag_s));
    put(saved, "writableReplica", json_boolean(row->saved.was_writable_replica));
    put(state, "saved", saved);
}

static void put_promotion(json_t *state, const struct migration_shard_row *row)
{
    put(state, "promoted", json_boolean(row->is_promoted));
    put(state, "mayBePromoted", json_boolean(row->may_be_promoted));
    put(state, "promoteUnsure", json_boolean(row->is_promote_unsure));
    put(state, "unfenced", json_boolean(row->is_unfenced));
    put(state, "newMaster", addr_json(&row->new_master));
    put(state, "lostBytes", json_integer(row->lost_bytes));
    put(state, "promoteEpoch", json_integer(row->promote_epoch));
    put(state, "promotedAt", json_integer(row->promoted_at));
}

/* JSON as owned text. */
static char *dump(json_t *take_json)
{
    char *text = json_dumps(take_json, JSON_COMPACT);
    json_decref(take_json);
    xp_check(text != NULL);
    return text;
}

char *shard_row_state_text(const struct migration_shard_row *row)
{
    json_t *state = json_object();
    put(state, "pending", json_string(migration_call_text(row->pending)));
    put(state, "lastCall", json_string(migration_call_text(row->last_call)));
    put(state, "outcome", json_string(call_outcome_text(row->outcome)));
    put(state, "tries", json_integer(row->tries));
    put(state, "failingSince", json_integer(row->failing_since));
    put(state, "failedAt", json_integer(row->failed_at));
    put_fence(state, row);
    put_promotion(state, row);
    put(state, "waiting", waiting_texts(row));
    return dump(state);
}

static int load_object(const char *text, const char *what, json_t **ret_json, struct xp_err *err)
{
    json_t *json = NULL;
    int rc = jd_parse(text, strlen(text), &json, err);
    if (rc == 0 && !json_is_object(json)) {
        rc = xp_fail(err, XP_INVALID, "is no object");
    }
    if (rc != 0) {
        json_decref(json);
        (void)xp_wrap(err, "migration_shard_tbl.%s", what);
        return err->code = XP_INTERNAL;
    }
    *ret_json = json;
    return 0;
}

int shard_row_from_state(const char *text, struct migration_shard_row *row, struct xp_err *err)
{
    json_t *json = NULL;
    int rc = load_object(text, "state", &json, err);
    if (rc != 0) {
        return rc;
    }
    row->fence_offset = -1;
    rc = jd_object(json, state_fields, row, err);
    const json_t *texts = json_object_get(json, "waiting");
    for (int i = 0; rc == 0 && i < MIGRATION_STEPS; i++) {
        const char *waiting =
            json_string_value(json_object_get(texts, migration_step_key((enum migration_step)i)));
        if (waiting) {
            row->texts[i] = xstrdup(waiting);
        }
    }
    json_decref(json);
    if (rc != 0) {
        (void)xp_wrap(err, "migration_shard_tbl.state of shard %lld", (long long)row->shard_id);
        return err->code = XP_INTERNAL;
    }
    return 0;
}

/* ---- log ---- */

static json_t *host_and_port(const struct addr *addr)
{
    return addr_is_none(addr)
               ? json_null()
               : json_pack("{s:o,s:i}", "host", jd_text(addr->host), "port", addr->port);
}

static json_t *steps_json(const struct migration_shard_row *row)
{
    json_t *steps = json_object();
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        if (row->results[i] == RESULT_NONE) {
            continue;
        }
        json_t *step = json_object();
        put(step, row->results[i] == RESULT_TRUE ? "true" : "false",
            jd_text(row->texts[i] ? row->texts[i] : ""));
        put(steps, migration_step_key((enum migration_step)i), step);
    }
    return steps;
}

static json_t *previous_message(const struct migration_shard_row *row)
{
    if (addr_is_none(&row->old_master)) {
        return json_null();
    }
    json_t *info = json_null();
    if (row->fence_offset >= 0) {
        info = json_pack("{s:s,s:I,s:o,s:b}", "role", "MASTER", "masterReplOffset",
                         (json_int_t)row->fence_offset, "replId", jd_text(row->fence_repl_id),
                         "keeper", 0);
    }
    return json_pack("{s:o,s:o,s:s}", "masterAddr", host_and_port(&row->old_master), "masterInfo",
                     info, "message", "");
}

char *migration_shard_log(const struct migration_shard_row *row, enum migration_status status)
{
    (void)status;
    json_t *log = json_object();
    bool is_success = row->results[STEP_MIGRATE] == RESULT_TRUE;
    put(log, "status", json_string(is_success ? "SUCCESS" : "FAIL"));
    put(log, "steps", steps_json(row));
    put(log, "newMaster", host_and_port(&row->new_master));
    put(log, "previousPrimaryDcMessage", previous_message(row));
    return dump(log);
}

int shard_row_from_log(const char *text, struct migration_shard_row *row, struct xp_err *err)
{
    if (text_is_empty(text)) {
        return 0;
    }
    json_t *json = NULL;
    int rc = load_object(text, "log", &json, err);
    if (rc != 0) {
        return rc;
    }
    const json_t *steps = json_object_get(json, "steps");
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        const json_t *step = json_object_get(steps, migration_step_key((enum migration_step)i));
        const char *yes = json_string_value(json_object_get(step, "true"));
        const char *no = json_string_value(json_object_get(step, "false"));
        if (yes || no) {
            row->results[i] = yes ? RESULT_TRUE : RESULT_FALSE;
            free(row->texts[i]);
            row->texts[i] = xstrdup(yes ? yes : no);
        }
    }
    json_decref(json);
    return 0;
}
