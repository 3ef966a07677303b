/* meta_routes.c - see meta_routes.h. */
#include "meta/api/meta_routes.h"

#include <string.h>

#include "meta/app.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

const struct http_route *const meta_route_tables[] = { meta_cluster_routes, meta_keeper_routes,
                                                       meta_switch_routes,  meta_member_routes,
                                                       daemon_routes,       NULL };

/* Endpoints that x-pipe knows answer every error with 500; what is new uses the right status. */
static bool is_new_endpoint(const struct http_req *req, const struct http_route *route)
{
    static const char *const news[] = {
        "/api/meta/v2/", "/api/meta/peers/", "/api/meta/correction/", "/ready", "/metrics",
        "/config",       "/debug/"
    };
    const char *path = route ? route->path : http_req_path(req);
    for (size_t i = 0; i < ARRAY_LEN(news); i++) {
        if (text_has_prefix(path, news[i])) {
            return true;
        }
    }
    return route == NULL;
}

/* A name in the Host header must be this DC's; addresses and localhost always pass (metaserver.md 4.1). */
static int check_host(const struct app *app, const struct http_req *req, struct xp_err *err)
{
    const char *host = http_req_header(req, "Host");
    if (text_is_empty(host) || text_is_empty(app->domain)) {
        return 0;
    }
    size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    AUTO_FREE char *name = xstrndup(host, length < strlen(host) ? length : strlen(host));
    struct addr addr = addr_of(name, 1);
    bool passes = addr_is_numeric(&addr) || name[0] == '[' || text_eq_nocase(name, "localhost") ||
                  text_eq_nocase(name, app->domain);
    return passes ? 0
                  : xp_fail(err, XP_INVALID, "domain name(%s) not match expected(%s)", name,
                            app->domain);
}

static int check_domain(const struct http_req *req, const struct http_route *route,
                        struct xp_err *err)
{
    const struct app *app = http_req_arg(req);
    bool is_switch =
        text_has_prefix(route->path, "/stop/") || text_has_prefix(route->path, "/start/");
    bool is_on = !is_switch && __atomic_load_n(&app->validate_domain, __ATOMIC_RELAXED);
    return is_on ? check_host(app, req, err) : 0;
}

void meta_on_error(const struct http_req *req, const struct http_route *route,
                   const struct xp_err *err, struct http_resp *resp)
{
    const struct xp_code_info *info = xp_code_info(err->code);
    json_t *body = json_pack("{s:o, s:s}", "message", jd_text(err->msg), "exception", info->name);
    struct xp_err ignored;
    /* A wrong Host is the one error that x-pipe answers with 400. */
    int status = route && check_domain(req, route, &ignored) != 0 ? 400 : 500;
    if (is_new_endpoint(req, route)) {
        status = resp->status != 0 ? resp->status : info->http_status;
        (void)json_object_set_new(body, "title", json_string(info->name));
        (void)json_object_set_new(body, "status", json_integer(status));
        (void)json_object_set_new(body, "detail", jd_text(err->msg));
        (void)json_object_set_new(body, "errorType", json_string(info->name));
        (void)json_object_set_new(body, "errorMessage", jd_text(err->msg));
    }
    http_resp_json(resp, body);
    resp->status = status;
}

int meta_on_request(struct http_req *req, const struct http_route *route, struct xp_err *err)
{
    return check_domain(req, route, err);
}
