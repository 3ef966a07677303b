/* api_health.c - liveness for operators and load balancers (console-api.md 3.13; 'ready' and
 * 'reasons' are ours). /ready and /metrics: shared/net/daemon.h.
 * A single console is always the leader. */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "shared/base/banned.h"

static int get_health(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct api_context *c = api_context(req);
    bool ready = true;
    json_t *reasons = c->daemon ? daemon_reasons(c->daemon, &ready) : json_array();
    http_resp_json(resp,
                   json_pack("{s:b, s:[], s:b, s:o, s:n, s:o, s:b, s:o}", "isLeader", 1, "status",
                             "crossDcLeader", 1, "dc", jd_text(c->dc), "checker", "address",
                             jd_text(c->address), "ready", ready, "reasons", reasons));
    return 0;
}

/* Runs on the loop: an answer proves that the loop turns. */
static int get_healthz(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    http_resp_text(resp, 200, "text/plain", "ok\n");
    return 0;
}

static int get_readyz(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct daemon *daemon = api_context(req)->daemon;
    bool is_draining = daemon && daemon_is_draining(daemon);
    http_resp_text(resp, is_draining ? 503 : 200, "text/plain",
                   is_draining ? "shutting down\n" : "ok\n");
    return 0;
}

/* clang-format off */
const struct http_route api_health_routes[] = {
    { "GET", "/health", get_health, HTTP_ON_LOOP, 0, "public", "liveness and leadership, as x-pipe answers it" },
    { "GET", "/healthz", get_healthz, HTTP_ON_LOOP, 0, "public", "200 while the process is alive" },
    { "GET", "/readyz", get_readyz, HTTP_ON_LOOP, 0, "public", "200 while it takes requests" },
    API_END,
};
/* clang-format on */
