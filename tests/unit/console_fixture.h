/* console_fixture.h - the console's handlers over a real store in a temporary folder, without sockets.
 * Requests go through the real route tables and the real error form. */
#ifndef TESTS_UNIT_CONSOLE_FIXTURE_H
#define TESTS_UNIT_CONSOLE_FIXTURE_H

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console/api/envelope.h"
#include "console/api/request.h"
#include "console/api/tables.h"
#include "shared/base/mem.h"
#include "shared/net/http_route.h"
#include "tests/unit/unit.h"

struct fixture {
    struct api_context api; /* FIRST */
    char dir[64];
    struct dc_alias *alias;
    struct store *store;
    struct catalog catalog;
    struct http_table *table;
    struct migration_waits *waits;
};

struct reply {
    int status;
    char *body; /* owned */
    char *etag; /* owned or NULL */
};

__attribute__((unused)) static void reply_done(struct reply *r)
{
    free(r->body);
    free(r->etag);
    *r = (struct reply){ 0 };
}

static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        char *path AUTO_FREE = xasprintf("%s/%s", dir, entry->d_name);
        (void)unlink(path);
    }
    if (d) {
        closedir(d);
    }
    (void)rmdir(dir);
}

enum { OLD_DOCUMENTS_BYTES = 1 << 20 };

static struct document_cache *new_documents(struct fixture *f, int64_t old_bytes_max)
{
    return document_cache_new(&(struct document_cache_options){
        .catalog = &f->catalog, .build_max = 2, .old_bytes_max = old_bytes_max });
}

static void fixture_open(struct fixture *f)
{
    struct xp_err err = { 0 };
    *f = (struct fixture){ .dir = "/tmp/xpipe-console-XXXXXX" };
    xp_check(mkdtemp(f->dir) != NULL);
    char *path AUTO_FREE = xasprintf("%s/console.db", f->dir);
    struct store_options options = { .path = path };
    if (store_open(&options, &f->store, &err) < 0 ||
        dc_alias_parse("{\"FRA\":\"FRA-AWS\"}", &f->alias, &err) < 0 ||
        http_table_new(api_tables, &f->table, &err) < 0) {
        fprintf(stderr, "fixture: %s\n", err.msg);
        abort();
    }
    f->catalog = (struct catalog){ .store = f->store, .alias = f->alias };
    f->api = (struct api_context){ .catalog = &f->catalog, .address = "", .dc = "jq" };
    f->api.documents = new_documents(f, OLD_DOCUMENTS_BYTES);
    f->waits = migration_waits_new(NULL, NULL, &f->catalog); /* its door only */
}

static void fixture_close(struct fixture *f)
{
    document_cache_free(f->api.documents);
    migration_waits_free(f->waits);
    http_table_free(f->table);
    store_close(f->store);
    dc_alias_free(f->alias);
    remove_folder(f->dir);
}

static struct reply take_reply(const struct http_resp *resp)
{
    struct reply r = { .status = resp->status };
    r.body = resp->body ? xstrndup(resp->body->bytes, resp->body->len) : xstrdup("");
    r.etag = xstrdup(resp->etag);
    return r;
}

static const struct http_route *route_of(struct fixture *f, struct http_req *req,
                                         const char *method, const char *target)
{
    struct http_path path;
    const struct http_pattern *pattern = NULL;
    const struct http_route *route = NULL;
    size_t length = strcspn(target, "?");
    xp_check(http_path_parse(target, length, &path) == 0);
    if (http_table_match(f->table, method, &path, &pattern) == 0) {
        route = http_pattern_route(pattern);
        for (const char *p = strchr(route->path, '{'); p; p = strchr(p, '{')) {
            char *name AUTO_FREE = xstrndup(p + 1, strcspn(p + 1, "}"));
            http_req_set_param_test(req, name, http_pattern_param(pattern, &path, name));
            p++;
        }
    }
    http_path_done(&path);
    return route;
}

/* 'header' is "Name: value" or NULL. */
static struct reply call_with(struct fixture *f, const char *method, const char *target,
                              const char *body, const char *header)
{
    struct http_req *req = http_req_new_test(method, target, body, &f->api);
    if (header) {
        char *name AUTO_FREE = xstrndup(header, strcspn(header, ":"));
        http_req_set_header_test(req, name, strchr(header, ':') + 2);
    }
    const struct http_route *route = route_of(f, req, method, target);
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = route ? route->handler(req, &resp, &err) : xp_fail(&err, XP_NOT_FOUND, "no such path");
    struct reply reply;
    if (rc == HTTP_LATER) {
        const struct http_resp *later;
        const struct xp_err *why;
        rc = http_req_result_test(req, &later, &why);
        xp_check(rc != HTTP_LATER);
        err = *why;
        reply = rc == 0 ? take_reply(later) : (struct reply){ 0 };
    } else if (rc == 0) {
        reply = take_reply(&resp);
    }
    if (rc < 0) {
        http_resp_done(&resp);
        envelope_error(req, route, &err, &resp);
        reply = take_reply(&resp);
    }
    xp_check(rc <= 0 && reply.body);
    http_resp_done(&resp);
    http_req_free_test(req);
    return reply;
}

__attribute__((unused)) static struct reply call(struct fixture *f, const char *method,
                                                 const char *target, const char *body)
{
    return call_with(f, method, target, body, NULL);
}

__attribute__((unused)) static void call_must(struct fixture *f, const char *method,
                                              const char *target, const char *body)
{
    struct reply r CLEANUP(reply_done) = call(f, method, target, body);
    if (!strstr(r.body, "\"state\":0")) {
        fail_msg("%s %s: %s", method, target, r.body);
    }
}

#endif
