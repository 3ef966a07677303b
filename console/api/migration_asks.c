/* migration_asks.c - see migration_asks.h. */
#include "console/api/migration_asks.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct migration_asks *migration_asks_new(int64_t event_id, enum migration_ask ask,
                                          const char *word)
{
    struct migration_asks *asks = xcalloc(1, sizeof(*asks));
    asks->event_id = event_id;
    asks->ask = ask;
    asks->word = word;
    return asks;
}

void migration_asks_free(struct migration_asks *asks)
{
    for (size_t i = 0; asks && i < asks->count; i++) {
        free(asks->items[i].cluster);
        free(asks->items[i].from_dc);
        free(asks->items[i].to_dc);
    }
    free(asks ? asks->items : NULL);
    free(asks);
}

struct migration_asked *migration_asks_add(struct migration_asks *asks)
{
    asks->items = xrealloc(asks->items, asks->count + 1, sizeof(*asks->items));
    struct migration_asked *item = &asks->items[asks->count++];
    *item = (struct migration_asked){ .cluster = NULL };
    return item;
}

static void take_row(struct migration_asked *item, const struct status_row *row)
{
    item->cluster = xstrdup(row->cluster);
    item->from_dc = xstrdup(row->from_dc);
    item->to_dc = xstrdup(row->to_dc);
    item->migration_cluster_id = row->migration_cluster_id;
}

static void add_name(struct migration_asks *asks, const char *name, const struct status_rows *rows)
{
    struct migration_asked *item = migration_asks_add(asks);
    for (size_t i = 0; i < rows->count; i++) {
        if (text_eq_nocase(rows->items[i].cluster, name)) {
            take_row(item, &rows->items[i]);
            return;
        }
    }
    item->cluster = xstrdup(name);
    item->rc = rows->count > 0 ? xp_fail(&item->err, XP_NOT_FOUND, "cluster not found:%s", name)
                               : xp_fail(&item->err, XP_NOT_FOUND, "event not found:%lld",
                                         (long long)asks->event_id);
}

int migration_asks_fill(const struct http_req *req, struct migration_asks *asks,
                        const struct names *clusters, struct xp_err *err)
{
    struct status_rows rows;
    int rc = migration_status_list(api_catalog(req), asks->event_id, &rows, err);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < clusters->count; i++) {
        add_name(asks, clusters->items[i], &rows);
    }
    for (size_t i = 0; clusters->count == 0 && i < rows.count; i++) {
        take_row(migration_asks_add(asks), &rows.items[i]);
    }
    status_rows_done(&rows);
    return asks->count > 0
               ? 0
               : xp_fail(err, XP_NOT_FOUND, "event not found:%lld", (long long)asks->event_id);
}

int migration_asks_fill_id(const struct http_req *req, struct migration_asks *asks,
                           int64_t cluster_id, struct xp_err *err)
{
    int64_t id = 0;
    int rc = migration_find(api_catalog(req), asks->event_id, cluster_id, NULL, &id, err);
    if (rc == 0) {
        struct migration_asked *item = migration_asks_add(asks);
        item->cluster = xstrdup("");
        item->migration_cluster_id = id;
    }
    return rc;
}

/* ---- asking ---- */

static void finish(struct migration_asks *asks)
{
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = 0;
    asks->render(asks, &resp, &rc, &err);
    http_req_finish(asks->req, rc, &resp, &err);
    migration_asks_free(asks);
}

static void let_go(struct migration_asks *asks)
{
    if (__atomic_sub_fetch(&asks->waiting, 1, __ATOMIC_ACQ_REL) == 0) {
        finish(asks);
    }
}

struct one_ask {
    struct migration_asks *asks;
    size_t at;
};

static void answered(int rc, const struct xp_err *err, void *arg)
{
    struct one_ask *one = arg;
    struct migration_asks *asks = one->asks;
    struct migration_asked *item = &asks->items[one->at];
    item->rc = rc;
    if (rc < 0 && err) {
        item->err = *err;
    }
    free(one);
    let_go(asks);
}

static void ask_one(struct migration_asks *asks, size_t at)
{
    const struct migration_port *port = &api_context(asks->req)->migration;
    struct migration_asked *item = &asks->items[at];
    if (!port->engine) {
        item->rc = xp_fail(&item->err, XP_UNAVAILABLE, "this console does not run migrations");
        return;
    }
    struct one_ask *one = xcalloc(1, sizeof(*one));
    *one = (struct one_ask){ asks, at };
    __atomic_add_fetch(&asks->waiting, 1, __ATOMIC_ACQ_REL);
    port->ask(port->engine, asks->event_id, item->migration_cluster_id, asks->ask,
              http_req_peer(asks->req), answered, one);
}

int migration_asks_run(struct http_req *req, struct migration_asks *asks,
                       migration_asks_render_fn *render)
{
    asks->req = req;
    asks->render = render;
    asks->waiting = 1; /* until all are asked */
    size_t count = asks->count;
    for (size_t i = 0; i < count; i++) {
        if (asks->items[i].rc == 0) {
            ask_one(asks, i);
        }
    }
    let_go(asks);
    return HTTP_LATER;
}
