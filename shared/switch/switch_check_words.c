/* switch_check_words.c - the answer of changeprimarydc/check: x-pipe's word, and behind it everything that was seen (see
 * switch_words.h). */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/switch_words.h"
#include "shared/switch/switch_words_internal.h"

#include "shared/base/banned.h"

static const char *const types[] = {
    [CHECK_SUCCESS] = "SUCCESS",
    [CHECK_ALREADY_NEW] = "PRIMARY_DC_ALREADY_IS_NEW",
    [CHECK_FAIL] = "FAIL",
};

static int decode_type(const json_t *value, void *field, struct xp_err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (json_is_string(value) && text_eq(json_string_value(value), types[i])) {
            *(enum check_type *)field = (enum check_type)i;
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "it is none of SUCCESS, PRIMARY_DC_ALREADY_IS_NEW, FAIL");
}

/* char[129] */
static int decode_dc(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) != strlen(text) ||
        (text[0] != '\0' && !jd_is_name(text))) {
        return xp_fail(err, XP_INVALID, "it is no name");
    }
    memcpy(field, text, strlen(text) + 1);
    text_lower(field);
    return 0;
}

static int decode_some_addr(const json_t *value, void *field, struct xp_err *err)
{
    int rc = switch_words_decode_addr(value, field, err);
    return rc == 0 && addr_is_none(field) ? xp_fail(err, XP_INVALID, "it is nobody's") : rc;
}

#define REDIS(member) offsetof(struct check_redis, member)
/* clang-format off */
static const struct jfield redis_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "addr", .type = JF_CUSTOM, .offset = REDIS(addr), .flags = JF_REQUIRED, .decode = decode_some_addr },
    { .name = "alive", .type = JF_BOOL, .offset = REDIS(is_alive) },
    { .name = "master", .type = JF_BOOL, .offset = REDIS(is_master) },
    { .name = "linkUp", .type = JF_BOOL, .offset = REDIS(is_link_up) },
    { .name = "readOnly", .type = JF_BOOL, .offset = REDIS(is_read_only) },
    { .name = "follows", .type = JF_CUSTOM, .offset = REDIS(follows), .decode = switch_words_decode_addr },
    { .name = "replId", .type = JF_CUSTOM, .offset = REDIS(repl_id), .decode = switch_words_decode_repl_id },
    { .name = "offset", .type = JF_INT64, .offset = REDIS(offset) },
    { .name = "priority", .type = JF_INT64, .offset = REDIS(priority) },
    { .name = "minSlaves", .type = JF_INT64, .offset = REDIS(min_slaves) },
    { .name = "maxLagS", .type = JF_INT64, .offset = REDIS(max_lag_s) },
    { .name = "backlogBytes", .type = JF_INT64, .offset = REDIS(backlog_bytes) },
    { .name = "syncing", .type = JF_BOOL, .offset = REDIS(is_syncing) },
    { .name = "noConfigFile", .type = JF_BOOL, .offset = REDIS(has_no_file) },
    { 0 },
};
/* clang-format on */

/* check_redis[], of which the count follows; that they are there says that the answer is ours. */
static int decode_redis(const json_t *value, void *field, struct xp_err *err)
{
    struct switch_check *check = CONTAINER_OF(field, struct switch_check, redis);
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > SWITCH_REDIS_MAX) {
        return xp_fail(err, XP_INVALID, "it is no array of up to %d Redis", SWITCH_REDIS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        struct check_redis *redis = &check->redis[check->redis_count++];
        *redis = (struct check_redis){
            .offset = -1, .priority = -1, .min_slaves = -1, .max_lag_s = -1, .backlog_bytes = -1
        };
        if (jd_object(json_array_get(value, i), redis_fields, redis, err) != 0) {
            return xp_wrap(err, "[%zu]", i);
        }
    }
    check->is_ours = true;
    return 0;
}

#define CHECK(member) offsetof(struct switch_check, member)
/* clang-format off */
static const struct jfield keeper_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "configured", .type = JF_INT32, .offset = CHECK(keepers) },
    { .name = "living", .type = JF_INT32, .offset = CHECK(keepers_living) },
    { .name = "active", .type = JF_BOOL, .offset = CHECK(has_active_keeper) },
    { .name = "linked", .type = JF_BOOL, .offset = CHECK(is_active_keeper_linked) },
    { .name = "offset", .type = JF_INT64, .offset = CHECK(active_keeper_offset) },
    { .name = "address", .type = JF_CUSTOM, .offset = CHECK(active_keeper), .decode = switch_words_decode_addr },
    { 0 },
};
static const struct jfield check_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "errorType", .type = JF_CUSTOM, .offset = CHECK(type), .flags = JF_REQUIRED, .decode = decode_type },
    { .name = "errorMessage", .type = JF_CUSTOM, .offset = CHECK(message), .decode = words_decode_text },
    { .name = "dc", .type = JF_CUSTOM, .offset = CHECK(dc), .decode = decode_dc },
    { .name = "redis", .type = JF_CUSTOM, .offset = CHECK(redis), .decode = decode_redis },
    { .name = "keepers", .type = JF_OBJECT, .offset = 0, .sub = keeper_fields },
    { .name = "epoch", .type = JF_ID, .offset = CHECK(epoch) },
    { .name = "fence", .type = JF_CUSTOM, .offset = CHECK(fence), .decode = words_decode_state },
    { .name = "lookUs", .type = JF_INT64, .offset = CHECK(look_us) },
    { 0 },
};
/* clang-format on */

void switch_check_done(struct switch_check *check)
{
    free(check->message);
    *check = (struct switch_check){ 0 };
}

static json_t *redis_to_json(const struct check_redis *r)
{
    return json_pack("{s:o, s:b, s:b, s:b, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:b}",
                     "addr", words_addr_text_or_null(&r->addr), "alive", r->is_alive, "master",
                     r->is_master, "linkUp", r->is_link_up, "readOnly", r->is_read_only, "follows",
                     words_addr_text_or_null(&r->follows), "replId", words_text_or_null(r->repl_id),
                     "offset", (json_int_t)r->offset, "priority", (json_int_t)r->priority,
                     "minSlaves", (json_int_t)r->min_slaves, "maxLagS", (json_int_t)r->max_lag_s,
                     "backlogBytes", (json_int_t)r->backlog_bytes, "syncing", r->is_syncing,
                     "noConfigFile", r->has_no_file);
}

json_t *switch_check_to_json(const struct switch_check *c)
{
    json_t *redis = json_array();
    for (size_t i = 0; i < c->redis_count; i++) {
        json_array_append_new(redis, redis_to_json(&c->redis[i]));
    }
    json_t *keepers = json_pack(
        "{s:i, s:i, s:b, s:b, s:I, s:o}", "configured", c->keepers, "living", c->keepers_living,
        "active", c->has_active_keeper, "linked", c->is_active_keeper_linked, "offset",
        (json_int_t)c->active_keeper_offset, "address", words_addr_text_or_null(&c->active_keeper));
    return json_pack("{s:s, s:o, s:b, s:o, s:o, s:o, s:I, s:s, s:I}", "errorType", types[c->type],
                     "errorMessage", jd_text(c->message), "success", c->type == CHECK_SUCCESS, "dc",
                     jd_text(c->dc), "redis", redis, "keepers", keepers, "epoch",
                     (json_int_t)c->epoch, "fence", fence_state_text(c->fence), "lookUs",
                     (json_int_t)c->look_us);
}

int switch_check_from_json(const json_t *json, struct switch_check *ret, struct xp_err *err)
{
    struct switch_check check = { .active_keeper_offset = -1, .look_us = -1 };
    int rc = jd_object(json, check_fields, &check, err);
    if (rc) {
        switch_check_done(&check);
        return xp_wrap(err, "answer to changeprimarydc/check");
    }
    *ret = check;
    return 0;
}
