/* daemon_routes.c - the routes that every daemon serves, see daemon.h. */
#include <string.h>

#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/net/daemon_internal.h"
#include "shared/base/banned.h"

#define METRICS_MAX_BYTES (16 * 1024 * 1024)

static struct daemon *daemon_of(const struct http_req *req)
{
    return *(struct daemon **)http_req_arg(req);
}

static int get_ready(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    bool ready;
    json_t *reasons = daemon_reasons(daemon_of(req), &ready);
    http_resp_json(resp, json_pack("{s:b, s:o}", "ready", ready, "reasons", reasons));
    resp->status = ready ? 200 : 503;
    return 0;
}

static int get_metrics(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    struct str text AUTO_STR = STR_INIT(METRICS_MAX_BYTES);
    metrics_print(&text);
    if (text.overflow) {
        return xp_fail(err, XP_TOO_LARGE, "metrics exceed %d bytes", METRICS_MAX_BYTES);
    }
    http_resp_text(resp, 200, "text/plain; version=0.0.4; charset=utf-8", str_text(&text));
    return 0;
}

static json_t *config_row_json(const struct config *config, const struct config_row *row)
{
    char *value AUTO_FREE = config_value_text(config, row->name);
    return json_pack("{s:s, s:s*, s:s, s:s, s:b}", "section", row->section, "value", value,
                     "default", row->type == CFG_SECRET ? "" : row->def, "unit", row->unit,
                     "reloadable", row->reloadable);
}

static int get_config(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct config *config = &daemon_of(req)->config;
    json_t *all = json_object();
    for (const struct config_row *row = config->rows; row->name; row++) {
        json_object_set_new(all, row->name, config_row_json(config, row));
    }
    http_resp_json(resp, all);
    return 0;
}

#if defined(XP_FAULTS) && XP_FAULTS
static int post_fault(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_auto_t *body = NULL;
    if (http_req_json(req, &body, err) < 0) {
        return err->code;
    }
    const char *points = json_string_value(json_object_get(body, "points"));
    if (!points) {
        return xp_fail(err, XP_INVALID, "points: a text such as \"db_commit=error@2\" is required");
    }
    if (fault_configure(points, err) < 0) {
        return err->code;
    }
    http_resp_json(resp, json_pack("{s:s}", "points", points));
    return 0;
}
#endif

/* clang-format off */
const struct http_route daemon_routes[] = {
    { "GET", "/ready", get_ready, HTTP_ON_LOOP, 0, "public", "is the daemon doing its duty, and if not, why" },
    { "GET", "/metrics", get_metrics, HTTP_ON_WORKER, 0, "public", "counters in the Prometheus text format" },
    { "GET", "/config", get_config, HTTP_ON_LOOP, 0, "read", "every configuration key with its value, secrets masked" },
#if defined(XP_FAULTS) && XP_FAULTS
    { "POST", "/debug/fault", post_fault, HTTP_ON_LOOP, 4096, "admin", "set fault points (test builds only)" },
#endif
    { NULL, NULL, NULL, HTTP_ON_LOOP, 0, NULL, NULL },
};
/* clang-format on */
