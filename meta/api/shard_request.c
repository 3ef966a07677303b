/* shard_request.c - see shard_request.h. */
#include "meta/api/shard_request.h"

#include <string.h>

#include "meta/api/dispatch.h"
#include "meta/primary/shard_switch.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

int shard_request_check(const struct http_req *req, struct xp_err *err)
{
    const struct app *app = http_req_arg(req);
    const char *cluster = http_req_param(req, "cluster");
    const char *shard = http_req_param(req, "shard");
    const struct cluster_meta *meta = dc_store_cluster(app->store, cluster);
    if (!meta || !cluster_meta_shard(meta, shard)) {
        return xp_fail(err, XP_NOT_FOUND, "unknown clusterId shardId %s %s", cluster, shard);
    }
    return 0;
}

void shard_request_is_the_consoles(const struct http_req *req)
{
    const struct app *app = http_req_arg(req);
    if (app->switches) {
        shard_switches_heard(app->switches, loop_now(app->loop));
    }
}

struct duty *shard_request_duty(const struct http_req *req, struct xp_err *err)
{
    const struct app *app = http_req_arg(req);
    const char *cluster = http_req_param(req, "cluster");
    if (shard_request_check(req, err) != 0) {
        return NULL;
    }
    struct duty *duty = shard_set_find(app->shards, cluster, http_req_param(req, "shard"));
    if (!duty) {
        (void)xp_fail(err, XP_UNSUPPORTED,
                      "cluster '%s': its type is not looked after, or there is no valid lease",
                      cluster);
    }
    return duty;
}

int shard_request_state(const struct http_req *req, struct http_resp *resp, enum cluster_type type,
                        struct xp_err *err)
{
    const struct app *app = http_req_arg(req);
    struct duty *duty = shard_request_duty(req, err);
    if (!duty) {
        return err->code;
    }
    if (duty->cluster->type != type) {
        return xp_fail(err, XP_UNSUPPORTED, "cluster '%s' is of type %s, this is about %s",
                       duty->cluster->name, cluster_type_info(duty->cluster->type)->name,
                       cluster_type_info(type)->name);
    }
    json_t *state = duty->class->state(duty);
    (void)json_object_set_new(state, "server", json_integer(app->config.metaserver_id));
    const struct shard_meta *shard = duty_shard(duty);
    if (type == CLUSTER_ONE_WAY && app->switches && shard) {
        (void)json_object_set_new(
            state, "switch", shard_switch_json(app->switches, duty->cluster->db_id, shard->db_id));
    }
    http_resp_json(resp, state);
    return 0;
}

/* ---- many shards ---- */

static int read_names(const struct http_req *req, json_t **ret_body, struct shard_names *ret_names,
                      struct xp_err *err)
{
    int rc = http_req_json(req, ret_body, err);
    return rc != 0 ? rc : shard_names_parse(json_object_get(*ret_body, "shards"), ret_names, err);
}

/* What is known here goes to 'rows', the names that are not are returned. */
static json_t *look_up(struct app *app, const struct shard_question *question,
                       const struct shard_names *names, json_t *rows)
{
    json_t *rest = json_array();
    for (size_t i = 0; i < names->count; i++) {
        const struct shard_name *name = &names->items[i];
        if (!question->add(app, name, rows)) {
            (void)json_array_append_new(rest, json_pack("[s,s]", name->cluster, name->shard));
        }
    }
    return rest;
}

static void ask_member(struct app *app, const struct addr *member,
                       const struct shard_question *question, const char *body, json_t *rows)
{
    AUTO_FREE char *url = xasprintf("http://%s%s", ADDR_TEXT(member), question->path);
    AUTO_FREE char *header = dispatch_multicast_header(app);
    struct http_call call = {
        .method = "POST",
        .url = url,
        .body = body,
        .body_length = strlen(body),
        .headers = { "Content-Type: application/json", header },
        .connect_timeout_ms = app->config.member_connect_timeout_ms,
        .timeout_ms = app->config.member_connect_timeout_ms * 2,
        .max_reply_bytes = SHARD_QUESTION_MAX_BYTES * 2,
    };
    CLEANUP(http_reply_done) struct http_reply reply = { 0 };
    struct xp_err err = { 0 };
    json_t *json = NULL;
    int rc = http_call(&call, &reply, &err);
    if (rc == 0 && reply.status != 200) {
        rc = xp_fail(&err, XP_REMOTE, "answered %d: %.100s", reply.status, reply.body);
    }
    if (rc != 0 || jd_parse(reply.body, reply.length, &json, &err) != 0) {
        log_info("peers.member_silent", "member", ADDR_TEXT(member), "about", question->rows,
                 "error", err.msg, "next",
                 "its shards are left out of this answer; the other DC asks again");
        return;
    }
    (void)json_array_extend(rows, json_object_get(json, question->rows));
    json_decref(json);
}

static void ask_members(struct app *app, const struct shard_question *question, json_t *rest,
                        json_t *rows)
{
    struct addr members[MEMBERS_MAX];
    size_t count = member_list_get(app->members, members);
    json_t *body = json_pack("{s:O}", "shards", rest);
    AUTO_FREE char *text = json_dumps(body, JSON_COMPACT);
    for (size_t i = 0; i < count && json_array_size(rest) > 0; i++) {
        ask_member(app, &members[i], question, text, rows);
    }
    json_decref(body);
}

int shard_request_answer(struct http_req *req, struct http_resp *resp,
                         const struct shard_question *question, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    json_t *body = NULL;
    struct shard_names names = { 0 };
    int rc = read_names(req, &body, &names, err);
    if (rc == 0) {
        json_t *rows = json_array();
        json_t *rest = look_up(app, question, &names, rows);
        if (!dispatch_is_multicast_copy(req)) {
            ask_members(app, question, rest, rows);
        }
        json_decref(rest);
        http_resp_json(resp, json_pack("{s:o}", question->rows, rows));
    }
    shard_names_done(&names);
    json_decref(body);
    return rc;
}

int shard_request_notice(const struct http_req *req, shard_told_fn *told, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    json_t *body = NULL;
    struct shard_names names = { 0 };
    int rc = read_names(req, &body, &names, err);
    const char *dc_text = json_string_value(json_object_get(body, "dc"));
    if (rc == 0 && text_is_empty(dc_text)) {
        rc = xp_fail(err, XP_INVALID, "dc: the DC that says it is required");
    }
    AUTO_FREE char *dc = xstrdup(dc_text);
    text_lower(dc);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        told(app, dc, &names.items[i]);
    }
    shard_names_done(&names);
    json_decref(body);
    return rc;
}
