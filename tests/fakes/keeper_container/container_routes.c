/* container_routes.c - the REST of a keeper container. */
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"
#include "tests/fakes/keeper_container/container.h"

#include "shared/base/banned.h"

enum { BODY_MAX = 64 * 1024, DELAY_MAX_MS = 60000, KIB = 1024 };

/* ---- answers ---- */

static void answer_code(struct http_resp *resp, enum container_code code, const struct xp_err *err)
{
    const char *name = container_code_text(code);
    http_resp_json(resp,
                   json_pack("{s:s, s:o}", "errorType", name, "errorMessage", jd_text(err->msg)));
    http_resp_header(resp, "X-Keeper-Container-Error", name);
    resp->status = 500;
}

void container_on_error(const struct http_req *req, const struct http_route *route,
                        const struct xp_err *err, struct http_resp *resp)
{
    (void)req;
    int status = resp->status;
    if ((!route && err->code == XP_UNSUPPORTED) || err->code == XP_INVALID) {
        status = 400; /* a wrong method, media type or body */
    }
    http_resp_json(resp, json_pack("{s:o}", "message", jd_text(err->msg)));
    resp->status = status;
}

/* ---- what a test ordered ---- */

/* True when the answer is made already. */
static bool play_fault(const struct container *c, struct http_resp *resp)
{
    struct xp_err err;
    struct timespec t = { .tv_sec = c->faults.delay_ms / 1000,
                          .tv_nsec = c->faults.delay_ms % 1000 * 1000000 };
    if (c->faults.delay_ms > 0) {
        (void)nanosleep(&t, NULL);
    }
    if (c->faults.answer == ANSWER_GARBAGE) {
        http_resp_text(resp, 200, "text/html", "<html>{\"replId\":");
    } else if (c->faults.answer == ANSWER_ERROR) {
        (void)xp_fail(&err, XP_INTERNAL, "ordered by the test");
        answer_code(resp, CONTAINER_INTERNAL_EXCEPTION, &err);
    }
    return c->faults.answer != ANSWER_RIGHT;
}

static int get_faults(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    static const char *const names[] = { "right", "error", "garbage" };
    const struct container *c = http_req_arg(req);
    (void)err;
    http_resp_json(resp, json_pack("{s:I, s:s}", "delay_ms", (json_int_t)c->faults.delay_ms,
                                   "answer", names[c->faults.answer]));
    return 0;
}

static int put_faults(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct container *c = http_req_arg(req);
    json_auto_t *body = NULL;
    const char *answer = "right";
    json_int_t delay_ms = 0;
    int rc = http_req_json(req, &body, err);
    if (rc != 0) {
        return rc;
    }
    if (json_unpack(body, "{s?I, s?s}", "delay_ms", &delay_ms, "answer", &answer) != 0 ||
        delay_ms < 0 || delay_ms > DELAY_MAX_MS) {
        return xp_fail(err, XP_INVALID, "say delay_ms (0..%d) and answer", DELAY_MAX_MS);
    }
    if (strcmp(answer, "right") == 0) {
        c->faults.answer = ANSWER_RIGHT;
    } else if (strcmp(answer, "error") == 0) {
        c->faults.answer = ANSWER_ERROR;
    } else if (strcmp(answer, "garbage") == 0) {
        c->faults.answer = ANSWER_GARBAGE;
    } else {
        return xp_fail(err, XP_INVALID, "answer: right, error or garbage, not '%s'", answer);
    }
    c->faults.delay_ms = delay_ms;
    return get_faults(req, resp, err);
}

/* ---- actions ---- */

static int take_body(struct http_req *req, json_t **ret_body, struct xp_err *err)
{
    const char *type = http_req_header(req, "Content-Type");
    if (!type || strncasecmp(type, "application/json", strlen("application/json")) != 0) {
        return xp_fail(err, XP_INVALID, "Content type '%s' not supported", type ? type : "");
    }
    int rc = http_req_json(req, ret_body, err);
    if (rc == 0 && !*ret_body) {
        return xp_fail(err, XP_INVALID, "Required request body is missing");
    }
    return rc;
}

static int act(struct http_req *req, struct http_resp *resp, keeper_action *action, json_t *success,
               struct xp_err *err)
{
    struct container *c = http_req_arg(req);
    json_auto_t *body = NULL;
    json_auto_t *answer = success;
    struct xp_err why;
    int rc = take_body(req, &body, err);
    if (rc != 0 || play_fault(c, resp)) {
        return rc;
    }
    enum container_code code = action(c->table, body, &why);
    log_info("container.call", "method", http_req_method(req), "path", http_req_path(req), "code",
             container_code_text(code));
    if (code != CONTAINER_OK) {
        answer_code(resp, code, &why);
    } else if (answer) {
        http_resp_json(resp, json_incref(answer));
    }
    return 0;
}

#define ACTION(handler, action, success)                                                           \
    static int handler(struct http_req *req, struct http_resp *resp, struct xp_err *err)           \
    {                                                                                              \
        return act(req, resp, action, success, err);                                               \
    }
ACTION(post_keeper, keeper_table_add, NULL)
ACTION(post_shard, keeper_table_add_or_start, NULL)
ACTION(put_start, keeper_table_start, NULL)
ACTION(put_stop, keeper_table_stop, NULL)
ACTION(delete_shard, keeper_table_delete, NULL)
ACTION(post_reset, keeper_table_reelect, json_true())
ACTION(delete_rdb, keeper_table_release_rdb, json_true())

/* ---- questions ---- */

static int get_health(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    http_resp_json(resp, json_true());
    return 0;
}

static int get_list(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const struct container *c = http_req_arg(req);
    (void)err;
    if (!play_fault(c, resp)) {
        http_resp_json(resp, keeper_table_list(c->table));
    }
    return 0;
}

static int get_size(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const struct container *c = http_req_arg(req);
    (void)err;
    if (!play_fault(c, resp)) {
        http_resp_json(resp, json_integer((json_int_t)keeper_table_count(c->table)));
    }
    return 0;
}

static int get_port(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const struct container *c = http_req_arg(req);
    const char *text = http_req_param(req, "port");
    int64_t port = 0;
    if (!text_to_i64(text, strlen(text), 1, 65535, &port)) {
        return xp_fail(err, XP_INVALID, "port: '%s' is not a port", text);
    }
    if (!play_fault(c, resp)) {
        http_resp_json(resp, keeper_table_at_port(c->table, (int)port));
    }
    return 0;
}

/* Sizes as `df` prints them, in KiB. */
static int get_disk(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const struct container *c = http_req_arg(req);
    struct statvfs v;
    if (play_fault(c, resp)) {
        return 0;
    }
    if (statvfs(c->dir, &v) != 0) {
        return xp_fail(err, XP_IO, "cannot read the size of %s", c->dir);
    }
    json_int_t block = (json_int_t)v.f_frsize;
    json_t *space =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "mountPath", c->dir, "source", "standin",
                  "type", "ext4", "size", (json_int_t)v.f_blocks * block / KIB, "use",
                  (json_int_t)(v.f_blocks - v.f_bfree) * block / KIB, "available",
                  (json_int_t)v.f_bavail * block / KIB);
    http_resp_json(resp, json_pack("{s:I, s:s, s:b, s:o, s:n}", "timestamp",
                                   (json_int_t)clock_wall_ms(), "keeperContainerIp", c->ip,
                                   "available", 1, "spaceUsageInfo", space, "ioStatInfo"));
    return 0;
}

#define SHARD "/keepers/clusters/{cluster}/shards/{shard}"
/* clang-format off */
const struct http_route container_routes[] = {
    { "GET", "/health", get_health, HTTP_ON_LOOP, 0, "read", "true" },
    { "GET", "/keepers", get_list, HTTP_ON_WORKER, 0, "read", "List of KeeperTransMeta" },
    { "GET", "/keepers/size", get_size, HTTP_ON_WORKER, 0, "read", "How many keepers" },
    { "GET", "/keepers/port/{port}", get_port, HTTP_ON_WORKER, 0, "read", "The keeper at a port; nulls when it is free" },
    { "GET", "/keepers/disk", get_disk, HTTP_ON_WORKER, 0, "read", "The disk of the keepers" },
    { "POST", "/keepers", post_keeper, HTTP_ON_WORKER, BODY_MAX, "write", "Add" },
    { "POST", SHARD, post_shard, HTTP_ON_WORKER, BODY_MAX, "write", "Add, or start" },
    { "PUT", SHARD "/start", put_start, HTTP_ON_WORKER, BODY_MAX, "write", "Start" },
    { "PUT", SHARD "/stop", put_stop, HTTP_ON_WORKER, BODY_MAX, "write", "Stop" },
    { "DELETE", SHARD, delete_shard, HTTP_ON_WORKER, BODY_MAX, "write", "Stop and remove with its data; the body counts" },
    { "POST", "/keepers/election/reset", post_reset, HTTP_ON_WORKER, BODY_MAX, "write", "To the end of the election" },
    { "DELETE", "/keepers/rdb/release", delete_rdb, HTTP_ON_WORKER, BODY_MAX, "write", "Drop the kept RDB" },
    { "GET", "/standin/faults", get_faults, HTTP_ON_WORKER, 0, "test", "What goes wrong" },
    { "PUT", "/standin/faults", put_faults, HTTP_ON_WORKER, BODY_MAX, "test", "delay_ms, answer: right, error, garbage" },
    { 0 },
};
/* clang-format on */
