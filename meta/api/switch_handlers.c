/* switch_handlers.c - /api/meta: the change of a primary DC (metaserver.md 4.3: 5 to 7; ours: v2/drain, v2/fence). Wire:
 * shared/switch/switch_words.h. What the steps do is meta/primary/shard_switch.h. */
#include <string.h>

#include "meta/api/dispatch.h"
#include "meta/api/meta_routes.h"
#include "meta/api/shard_request.h"
#include "meta/app_switch.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define DEADLINE_MAX_MS 60000

/* ---- what a request says ---- */

static int read_number(const struct http_req *req, const char *name, int64_t max,
                       int64_t *ret_value, struct xp_err *err)
{
    const char *text = http_req_query(req, name);
    *ret_value = 0;
    if (text && !text_to_i64(text, strlen(text), 0, max, ret_value)) {
        return xp_fail(err, XP_INVALID, "%s: '%.20s' is not a number of 0..%lld", name, text,
                       (long long)max);
    }
    return 0;
}

/* epoch and deadline_ms of the query, where the body does not say them. */
static int read_query(const struct http_req *req, struct switch_order *order, struct xp_err *err)
{
    int64_t epoch;
    int64_t deadline_ms;
    int rc = read_number(req, "epoch", INT64_MAX, &epoch, err);
    rc = rc != 0 ? rc : read_number(req, "deadline_ms", DEADLINE_MAX_MS, &deadline_ms, err);
    if (rc == 0) {
        order->epoch = epoch > 0 ? epoch : order->epoch;
        order->deadline_ms = deadline_ms > 0 ? deadline_ms : order->deadline_ms;
    }
    return rc;
}

static int read_order(const struct http_req *req, struct switch_order *ret_order,
                      struct xp_err *err)
{
    json_t *json = NULL;
    int rc = http_req_json(req, &json, err);
    rc = rc != 0 ? rc : switch_order_from_json(json, ret_order, err);
    json_decref(json);
    return rc != 0 ? rc : read_query(req, ret_order, err);
}

static const struct cluster_meta *cluster_of(const struct http_req *req)
{
    const struct app *app = http_req_arg(req);
    return dc_store_cluster(app->store, http_req_param(req, "cluster"));
}

static bool can_migrate(const struct http_req *req)
{
    const struct cluster_meta *cluster = cluster_of(req);
    return cluster && cluster_type_info(cluster->type)->can_migrate;
}

static char *dc_of(const struct http_req *req)
{
    char *dc = xstrdup(http_req_param(req, "dc"));
    text_lower(dc);
    return dc;
}

/* ---- answers ---- */

/* Whose failure is not told otherwise: a Java console only looks at the status. It must not take the fence, or its end, for
 * granted; but it has to be able to go on from a DC whose Redis are dead. */
static int check_fence(const struct http_req *req, const struct switch_fence *fence,
                       struct xp_err *err)
{
    bool is_java = !http_req_query(req, "epoch") && !http_req_query(req, "phase");
    bool is_release = !text_eq_nocase(http_req_param(req, "state"), "true");
    bool is_done = is_release ? fence->state == FENCE_RELEASED
                              : fence->state == FENCE_HELD || fence->state == FENCE_FROZEN ||
                                    fence->state == FENCE_UNREACHABLE;
    if (!is_java || is_done) {
        return 0;
    }
    return xp_fail(err, XP_REMOTE, "%s of the master failed (%s): %.150s",
                   is_release ? "the release" : "the fence", fence_state_text(fence->state),
                   fence->log ? fence->log : "");
}

/* Are the other members to know? A promotion that failed changes nobody's memory; who follows does so whoever hears it late. */
static bool is_done(const struct http_req *req, const struct switch_change *change)
{
    const struct app *app = http_req_arg(req);
    AUTO_FREE char *dc = dc_of(req);
    return !change->is_stale && (change->is_success || !text_eq(dc, app->dc));
}

static void on_answer(const struct switch_answer *answer, void *arg)
{
    struct http_req *req = arg;
    struct http_resp resp = { 0 };
    struct xp_err err = { 0 };
    int rc = answer->rc;
    if (rc != 0) {
        err = *answer->err;
    } else if (answer->check) {
        http_resp_json(&resp, switch_check_to_json(answer->check));
    } else if (answer->change) {
        bool is_change = answer->step == SWITCH_PROMOTE || answer->step == SWITCH_FOLLOW;
        if (is_change && is_done(req, answer->change)) {
            dispatch_changed(req);
        }
        http_resp_json(&resp, switch_change_to_json(answer->change));
    } else {
        rc = check_fence(req, answer->fence, &err);
        if (rc == 0) {
            http_resp_json(&resp, switch_fence_to_json(answer->fence));
        }
    }
    http_req_finish(req, rc, &resp, &err);
}

static int start(struct http_req *req, enum switch_step step, const char *dc,
                 const struct switch_order *order, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    struct switch_request request = {
        .step = step,
        .cluster = http_req_param(req, "cluster"),
        .shard = http_req_param(req, "shard"),
        .dc = dc,
        .order = *order,
    };
    int rc = shard_switch_start(app->switches, &request, on_answer, req, err);
    return rc == 0 ? HTTP_LATER : rc;
}

static int answer_change(struct http_resp *resp, const char *text)
{
    struct switch_change change = {
        .log = xstrdup(text), .is_ours = true, .offset = -1, .offset_gap = -1
    };
    http_resp_json(resp, switch_change_to_json(&change));
    switch_change_done(&change);
    return 0;
}

static int answer_unsupported(const struct http_req *req, struct http_resp *resp)
{
    AUTO_FREE char *text =
        xasprintf("cluster %s not support miggration", http_req_param(req, "cluster"));
    return answer_change(resp, text);
}

/* ---- 5: check ---- */

static int local_check(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct switch_order order = { 0 };
    int rc = shard_request_check(req, err);
    rc = rc != 0 ? rc : read_query(req, &order, err);
    if (rc != 0) {
        return rc;
    }
    if (!can_migrate(req)) {
        return answer_unsupported(req, resp);
    }
    AUTO_FREE char *dc = dc_of(req);
    return start(req, SWITCH_CHECK, dc, &order, err);
}

static int handle_check(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    shard_request_is_the_consoles(req);
    return dispatch_forward(req, resp, local_check, err);
}

/* ---- 6: the master refuses writes, or takes them again ---- */

static int read_step(const struct http_req *req, enum switch_step *ret_step, struct xp_err *err)
{
    const char *state = http_req_param(req, "state");
    const char *phase = http_req_query(req, "phase");
    if (text_eq_nocase(state, "false")) {
        *ret_step = SWITCH_RELEASE;
    } else if (!text_eq_nocase(state, "true")) {
        return xp_fail(err, XP_INVALID, "'%.20s' must be 'true' or 'false'", state);
    } else if (text_is_empty(phase)) {
        *ret_step = SWITCH_WHOLE;
    } else if (text_eq(phase, "hold") || text_eq(phase, "freeze")) {
        *ret_step = phase[0] == 'h' ? SWITCH_HOLD : SWITCH_FREEZE;
    } else {
        return xp_fail(err, XP_INVALID, "phase: '%.20s' must be 'hold' or 'freeze'", phase);
    }
    return 0;
}

static int local_read_only(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    struct switch_order order = { 0 };
    enum switch_step step = SWITCH_WHOLE;
    int rc = shard_request_check(req, err);
    rc = rc != 0 ? rc : read_step(req, &step, err);
    rc = rc != 0 ? rc : read_query(req, &order, err);
    if (rc == 0 && !can_migrate(req)) {
        rc = xp_fail(err, XP_UNSUPPORTED, "cluster %s not support miggration",
                     http_req_param(req, "cluster"));
    }
    return rc != 0 ? rc : start(req, step, NULL, &order, err);
}

static int handle_read_only(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    shard_request_is_the_consoles(req);
    return dispatch_forward(req, resp, local_read_only, err);
}

/* ---- 7: the change ---- */

static int change_at_owner(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const struct app *app = http_req_arg(req);
    struct switch_order order;
    (void)resp;
    int rc = read_order(req, &order, err);
    if (rc != 0) {
        return rc;
    }
    AUTO_FREE char *dc = dc_of(req);
    bool is_here = text_eq(dc, app->dc);
    return start(req, is_here ? SWITCH_PROMOTE : SWITCH_FOLLOW, dc, &order, err);
}

/* A member that does not own the slot only remembers who the active DC is now. */
static void change_at_member(struct http_req *req)
{
    struct app *app = http_req_arg(req);
    const struct cluster_meta *cluster = cluster_of(req);
    AUTO_FREE char *dc = dc_of(req);
    struct xp_err err;
    if (cluster &&
        dc_store_set_active(app->store, cluster->db_id, dc, loop_now(app->loop), &err) != 0) {
        log_warn("switch.order_ignored", "cluster", cluster->name, "dc", dc, "why", err.msg);
    }
}

static bool is_changed(const struct http_req *req, const json_t *answer)
{
    struct switch_change change;
    struct xp_err err;
    if (switch_change_from_json(answer, &change, &err) != 0) {
        return false;
    }
    bool is_so = is_done(req, &change);
    switch_change_done(&change);
    return is_so;
}

static int change_at_other(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    change_at_member(req);
    AUTO_FREE char *text =
        xasprintf("not interested in this cluster:%lld", (long long)cluster_of(req)->db_id);
    return answer_change(resp, text);
}

static int handle_change(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    static const struct dispatch_change change = { .at_owner = change_at_owner,
                                                   .at_other = change_at_other,
                                                   .is_changed = is_changed,
                                                   .at_member = change_at_member };
    shard_request_is_the_consoles(req);
    int rc = shard_request_check(req, err);
    if (rc != 0) {
        return rc;
    }
    return can_migrate(req) ? dispatch_owner_first(req, resp, &change, err)
                            : answer_unsupported(req, resp);
}

/* ---- ours ---- */

static int local_drain(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct switch_order order;
    int rc = shard_request_check(req, err);
    rc = rc != 0 ? rc : read_order(req, &order, err);
    if (rc != 0) {
        return rc;
    }
    return can_migrate(req) ? start(req, SWITCH_DRAIN, NULL, &order, err)
                            : answer_unsupported(req, resp);
}

static int handle_drain(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    shard_request_is_the_consoles(req);
    return dispatch_forward(req, resp, local_drain, err);
}

/* Asked for by our console only, which reads the state of the fence: nothing is told by the status. */
static void on_remote_answer(const struct switch_answer *answer, void *arg)
{
    struct http_resp resp = { 0 };
    struct xp_err err = { 0 };
    if (answer->rc != 0) {
        err = *answer->err;
    } else {
        http_resp_json(&resp, switch_fence_to_json(answer->fence));
    }
    http_req_finish(arg, answer->rc, &resp, &err);
}

static int local_fence(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    struct app *app = http_req_arg(req);
    struct switch_fence_order order;
    json_t *json = NULL;
    int rc = shard_request_check(req, err);
    rc = rc != 0 ? rc : http_req_json(req, &json, err);
    rc = rc != 0 ? rc : switch_fence_order_from_json(json, &order, err);
    json_decref(json);
    rc = rc != 0 ? rc
                 : remote_fence_start(app->remote_fences, cluster_of(req)->db_id, &order,
                                      on_remote_answer, req, err);
    return rc == 0 ? HTTP_LATER : rc;
}

static int handle_fence(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    shard_request_is_the_consoles(req);
    return dispatch_forward(req, resp, local_fence, err);
}

static int handle_heard(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    http_resp_json(resp, shard_switches_heard_json(app->switches));
    return 0;
}

/* clang-format off */
const struct http_route meta_switch_routes[] = {
    { "GET", "/api/meta/changeprimarydc/check/{cluster}/{shard}/{dc}", handle_check, HTTP_ON_LOOP, 0, "read",
      "Is the shard fit for a change of its primary DC; ours: every Redis of it here, keepers, epoch, fence" },
    { "PUT", "/api/meta/masterreadonly/{cluster}/{shard}/{state}", handle_read_only, HTTP_ON_LOOP, SWITCH_BODY_MAX, "meta",
      "true: the master refuses writes (phase=hold or freeze, else both); false: it takes them again; epoch, deadline_ms" },
    { "PUT", "/api/meta/changeprimarydc/{cluster}/{shard}/{dc}", handle_change, HTTP_ON_LOOP, SWITCH_BODY_MAX, "meta",
      "dc is the primary DC now: promote here when it is this one, else follow it; epoch, deadline_ms" },
    { "POST", "/api/meta/v2/drain/{cluster}/{shard}", handle_drain, HTTP_ON_LOOP, SWITCH_BODY_MAX, "meta",
      "Wait until the replica that would be promoted has what the order asks for" },
    { "PUT", "/api/meta/v2/fence/{cluster}/{shard}", handle_fence, HTTP_ON_LOOP, SWITCH_BODY_MAX, "meta",
      "Hold, freeze or release the Redis of another DC whose metaserver does not answer" },
    { "GET", APP_HEARD_PATH, handle_heard, HTTP_ON_LOOP, 0, "read",
      "When this member, or another one that told it, heard the console, and whether the masters here are held for that" },
    { .method = NULL },
};
/* clang-format on */
