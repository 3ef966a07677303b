/* switch_change_words.c - orders to promote or to drain, and their answers (see switch_words.h). */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/switch_words.h"
#include "shared/switch/switch_words_internal.h"

#include "shared/base/banned.h"

/* ---- the order ---- */

struct order_body {
    struct switch_order order;
    struct words_info info;
};

static int decode_mode(const json_t *value, void *field, struct xp_err *err)
{
    struct switch_order *order = CONTAINER_OF(field, struct switch_order, is_disaster);
    const char *text = json_string_value(value);
    if (!text_eq(text, "planned") && !text_eq(text, "disaster")) {
        return xp_fail(err, XP_INVALID, "it is neither planned nor disaster");
    }
    order->has_mode = true;
    order->is_disaster = text_eq(text, "disaster");
    return 0;
}

#define ORDER(member) offsetof(struct order_body, order.member)
/* clang-format off */
static const struct jfield order_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "masterInfo", .type = JF_CUSTOM, .offset = offsetof(struct order_body, info), .decode = words_decode_info },
    { .name = "addSentinel", .type = JF_BOOL, .offset = ORDER(add_sentinel) },
    { .name = "epoch", .type = JF_ID, .offset = ORDER(epoch) },
    { .name = "mode", .type = JF_CUSTOM, .offset = ORDER(is_disaster), .decode = decode_mode },
    { .name = "drainMs", .type = JF_ID, .offset = ORDER(drain_ms) },
    { .name = "deadlineMs", .type = JF_ID, .offset = ORDER(deadline_ms) },
    { 0 },
};
/* clang-format on */

static void set_number(json_t *object, const char *name, int64_t value)
{
    if (value != 0) {
        json_object_set_new(object, name, json_integer(value));
    }
}

json_t *switch_order_to_json(const struct switch_order *o)
{
    json_t *json = json_pack("{s:o, s:b}", "masterInfo",
                             words_info_or_null(o->has_info, o->repl_id, o->offset), "addSentinel",
                             o->add_sentinel);
    set_number(json, "epoch", o->epoch);
    if (o->has_mode) {
        json_object_set_new(json, "mode", json_string(o->is_disaster ? "disaster" : "planned"));
    }
    set_number(json, "drainMs", o->drain_ms);
    set_number(json, "deadlineMs", o->deadline_ms);
    return json;
}

int switch_order_from_json(const json_t *json, struct switch_order *ret, struct xp_err *err)
{
    struct order_body body = { .order = { .add_sentinel = true, .is_disaster = true } };
    if (json && !json_is_null(json)) {
        int rc = jd_object(json, order_fields, &body, err);
        if (rc) {
            return rc;
        }
    }
    body.order.has_info = body.info.has_info;
    body.order.offset = body.info.offset;
    memcpy(body.order.repl_id, body.info.repl_id, REPL_ID_SIZE);
    *ret = body.order;
    return 0;
}

/* ---- the answer ---- */

struct change_body {
    struct switch_change change;
    char *ip; /* owned */
    int64_t port;
};

static int decode_error_type(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = json_string_value(value);
    if (!text_eq(text, "SUCCESS") && !text_eq(text, "FAIL")) {
        return xp_fail(err, XP_INVALID, "it is neither SUCCESS nor FAIL");
    }
    *(bool *)field = text_eq(text, "SUCCESS");
    return 0;
}

static int decode_promoted(const json_t *value, void *field, struct xp_err *err)
{
    struct switch_change *change = CONTAINER_OF(field, struct switch_change, is_promoted);
    if (!json_is_boolean(value)) {
        return xp_fail(err, XP_INVALID, "it is neither true nor false");
    }
    change->is_ours = true;
    change->is_promoted = json_is_true(value);
    return 0;
}

#define CHANGE(member) offsetof(struct change_body, change.member)
/* clang-format off */
static const struct jfield change_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "errorType", .type = JF_CUSTOM, .offset = CHANGE(is_success), .flags = JF_REQUIRED, .decode = decode_error_type },
    { .name = "errorMessage", .type = JF_CUSTOM, .offset = CHANGE(log), .decode = words_decode_text },
    { .name = "newMasterIp", .type = JF_STRING, .offset = offsetof(struct change_body, ip), .max_length = ADDR_HOST_MAX },
    { .name = "newMasterPort", .type = JF_INT64, .offset = offsetof(struct change_body, port) },
    { .name = "promoted", .type = JF_CUSTOM, .offset = CHANGE(is_promoted), .decode = decode_promoted },
    { .name = "drained", .type = JF_BOOL, .offset = CHANGE(is_drained) },
    { .name = "offset", .type = JF_INT64, .offset = CHANGE(offset) },
    { .name = "offsetGap", .type = JF_INT64, .offset = CHANGE(offset_gap) },
    { .name = "replId", .type = JF_CUSTOM, .offset = CHANGE(repl_id), .decode = switch_words_decode_repl_id },
    { .name = "stale", .type = JF_BOOL, .offset = CHANGE(is_stale) },
    { .name = "epoch", .type = JF_ID, .offset = CHANGE(epoch) },
    { 0 },
};
/* clang-format on */

void switch_change_done(struct switch_change *change)
{
    free(change->log);
    *change = (struct switch_change){ 0 };
}

json_t *switch_change_to_json(const struct switch_change *c)
{
    bool is_told = !addr_is_none(&c->new_master);
    return json_pack(
        "{s:s, s:o, s:o, s:i, s:b, s:b, s:b, s:I, s:I, s:o, s:b, s:I}", "errorType",
        c->is_success ? "SUCCESS" : "FAIL", "errorMessage", jd_text(c->log), "newMasterIp",
        is_told ? jd_text(c->new_master.host) : json_null(), "newMasterPort", c->new_master.port,
        "success", c->is_success, "promoted", c->is_promoted, "drained", c->is_drained, "offset",
        (json_int_t)c->offset, "offsetGap", (json_int_t)c->offset_gap, "replId",
        words_text_or_null(c->repl_id), "stale", c->is_stale, "epoch", (json_int_t)c->epoch);
}

/* newMasterIp and newMasterPort: null and 0 are none. */
static int new_master_of(const struct change_body *body, struct addr *ret_addr, struct xp_err *err)
{
    *ret_addr = (struct addr){ 0 };
    if (text_is_empty(body->ip)) {
        return 0;
    }
    struct addr addr = addr_of(body->ip, 1);
    if (!addr_is_numeric(&addr) || addr_is_nobodys(&addr)) {
        return xp_fail(err, XP_INVALID, "newMasterIp: '%s' is no address of an instance", body->ip);
    }
    if (body->port < 1 || body->port > 65535) {
        return xp_fail(err, XP_INVALID, "newMasterPort: %lld is not a port (1..65535)",
                       (long long)body->port);
    }
    *ret_addr = addr_of(body->ip, (int)body->port);
    return 0;
}

int switch_change_from_json(const json_t *json, struct switch_change *ret, struct xp_err *err)
{
    struct change_body body = { .change = { .offset = -1, .offset_gap = -1 } };
    int rc = jd_object(json, change_fields, &body, err);
    rc = rc ? rc : new_master_of(&body, &body.change.new_master, err);
    free(body.ip);
    if (rc) {
        switch_change_done(&body.change);
        return xp_wrap(err, "answer to changeprimarydc");
    }
    *ret = body.change;
    return 0;
}
