/* switch_fence_words.c - the answer of masterreadonly, and the order of v2/fence (see switch_words.h). */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/switch_words.h"
#include "shared/switch/switch_words_internal.h"

#include "shared/base/banned.h"

/* ---- the answer ---- */

struct fence_body {
    struct switch_fence fence;
    struct words_info info;
    bool is_fenced; /* read, and not used: the state says it */
};

static int decode_own_state(const json_t *value, void *field, struct xp_err *err)
{
    struct switch_fence *fence = CONTAINER_OF(field, struct switch_fence, state);
    int rc = words_decode_state(value, field, err);
    fence->is_ours = rc == 0;
    return rc;
}

#define FENCE(member) offsetof(struct fence_body, fence.member)
/* clang-format off */
static const struct jfield fence_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "masterAddr", .type = JF_CUSTOM, .offset = FENCE(master), .decode = switch_words_decode_addr },
    { .name = "masterInfo", .type = JF_CUSTOM, .offset = offsetof(struct fence_body, info), .decode = words_decode_info },
    { .name = "message", .type = JF_CUSTOM, .offset = FENCE(log), .decode = words_decode_text },
    { .name = "fence", .type = JF_CUSTOM, .offset = FENCE(state), .decode = decode_own_state },
    { .name = "fenced", .type = JF_BOOL, .offset = offsetof(struct fence_body, is_fenced) },
    { .name = "drainPending", .type = JF_BOOL, .offset = FENCE(drain_pending) },
    { .name = "saved", .type = JF_CUSTOM, .offset = FENCE(saved), .decode = words_decode_saved },
    { .name = "epoch", .type = JF_ID, .offset = FENCE(epoch) },
    { 0 },
};
/* clang-format on */

void switch_fence_done(struct switch_fence *fence)
{
    free(fence->log);
    *fence = (struct switch_fence){ 0 };
}

json_t *switch_fence_to_json(const struct switch_fence *f)
{
    bool is_fenced = f->state == FENCE_HELD || f->state == FENCE_FROZEN;
    return json_pack(
        "{s:o, s:o, s:o, s:s, s:b, s:b, s:o, s:I}", "masterAddr", words_addr_or_null(&f->master),
        "masterInfo", words_info_or_null(f->has_info, f->repl_id, f->offset), "message",
        jd_text(f->log), "fence", fence_state_text(f->state), "fenced", is_fenced, "drainPending",
        f->drain_pending, "saved", words_saved_or_null(&f->saved), "epoch", (json_int_t)f->epoch);
}

int switch_fence_from_json(const json_t *json, struct switch_fence *ret, struct xp_err *err)
{
    struct fence_body body = { 0 };
    int rc = jd_object(json, fence_fields, &body, err);
    if (rc) {
        switch_fence_done(&body.fence);
        return xp_wrap(err, "answer to masterreadonly");
    }
    body.fence.has_info = body.info.has_info;
    body.fence.offset = body.info.offset;
    memcpy(body.fence.repl_id, body.info.repl_id, REPL_ID_SIZE);
    *ret = body.fence;
    return 0;
}

/* ---- the order ---- */

static const char *const phases[] = { "hold", "freeze", "release" };

static int decode_phase(const json_t *value, void *field, struct xp_err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        if (json_is_string(value) && text_eq(json_string_value(value), phases[i])) {
            memcpy(field, phases[i], strlen(phases[i]) + 1);
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "it is none of hold, freeze, release");
}

static int decode_redis(const json_t *value, void *field, struct xp_err *err)
{
    struct switch_fence_order *order = CONTAINER_OF(field, struct switch_fence_order, redis);
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > SWITCH_REDIS_MAX) {
        return xp_fail(err, XP_INVALID, "it is no array of up to %d addresses", SWITCH_REDIS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        struct addr *addr = &order->redis[order->redis_count++];
        int rc = switch_words_decode_addr(json_array_get(value, i), addr, err);
        if (rc == 0 && !addr_is_numeric(addr)) {
            rc = xp_fail(err, XP_INVALID, "it is no address in numbers");
        }
        if (rc) {
            return xp_wrap(err, "[%zu]", i);
        }
    }
    return 0;
}

#define ORDER(member) offsetof(struct switch_fence_order, member)
/* clang-format off */
static const struct jfield order_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "epoch", .type = JF_ID, .offset = ORDER(epoch) },
    { .name = "phase", .type = JF_CUSTOM, .offset = ORDER(phase), .flags = JF_REQUIRED, .decode = decode_phase },
    { .name = "redis", .type = JF_CUSTOM, .offset = ORDER(redis), .flags = JF_REQUIRED, .decode = decode_redis },
    { .name = "saved", .type = JF_CUSTOM, .offset = ORDER(saved), .decode = words_decode_saved },
    { .name = "deadlineMs", .type = JF_ID, .offset = ORDER(deadline_ms) },
    { 0 },
};
/* clang-format on */

json_t *switch_fence_order_to_json(const struct switch_fence_order *o)
{
    json_t *redis = json_array();
    for (size_t i = 0; i < o->redis_count; i++) {
        json_array_append_new(redis, words_addr_text_or_null(&o->redis[i]));
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:I}", "epoch", (json_int_t)o->epoch, "phase",
                     jd_text(o->phase), "redis", redis, "saved", words_saved_or_null(&o->saved),
                     "deadlineMs", (json_int_t)o->deadline_ms);
}

int switch_fence_order_from_json(const json_t *json, struct switch_fence_order *ret,
                                 struct xp_err *err)
{
    struct switch_fence_order order = { 0 };
    int rc = jd_object(json, order_fields, &order, err);
    if (rc == 0) {
        *ret = order;
    }
    return rc;
}
