/* bi_exclusions.c - see bi_exclusions.h. */
#include "console/migration/bi_exclusions.h"

#include <string.h>

#include "console/migration/migration_events_internal.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

enum { LIST_MAX = 1000 };

void bi_exclusions_done(struct bi_exclusions *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->items[i].cluster);
        free(e->items[i].links);
        names_done(&e->items[i].dcs);
        names_done(&e->items[i].shards);
    }
    free(e->items);
    names_done(&e->dcs);
    *e = (struct bi_exclusions){ 0 };
}

struct bi_job {
    const struct catalog *cat;
    const struct bi_request *request;
    struct bi_exclusions *out;
    char *dcs_text; /* JSON array of stored names */
};

static bool has_name(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (text_eq(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

static int resolve_dcs(struct bi_job *job, struct db *db, struct xp_err *err)
{
    json_auto_t *list = json_array();
    for (size_t i = 0; i < job->request->dc_count; i++) {
        struct dc_ref dc;
        const char *asked = job->request->dcs[i] ? job->request->dcs[i] : "";
        int rc = find_dc(job->cat, db, asked, &dc, err);
        if (rc == 0 && !dc.id) {
            rc = xp_fail(err, XP_NOT_FOUND, "dc %.128s not found", asked);
        }
        if (rc != 0) {
            return rc;
        }
        if (!has_name(&job->out->dcs, dc.name)) {
            *ARRAY_ADD(job->out->dcs.items, job->out->dcs.count) = xstrdup(dc.name);
            (void)json_array_append_new(list, json_string(dc.name));
        }
    }
    job->dcs_text = json_dumps(list, JSON_COMPACT);
    return 0;
}

static int check_dcs(const struct bi_job *job, const struct cluster_ref *cluster,
                     const struct dc_refs *bound, struct xp_err *err)
{
    size_t left = 0;
    size_t found = 0;
    for (size_t i = 0; i < bound->count; i++) {
        bool is_out = has_name(&job->out->dcs, bound->items[i].name);
        left += !is_out;
        found += is_out;
    }
    if (found < job->out->dcs.count) {
        return xp_fail(err, XP_INVALID, "cluster %s is not in all of the DCs %.100s", cluster->name,
                       job->dcs_text);
    }
    if (left == 0) {
        return xp_fail(err, XP_INVALID, "cluster %s: no DC would be left, %.100s are all",
                       cluster->name, job->dcs_text);
    }
    return 0;
}

/* The record is there: what the caller needs to look at the links. */
static int add_item(const struct bi_job *job, struct db *db, const struct cluster_ref *cluster,
                    const struct dc_refs *bound, struct xp_err *err)
{
    struct bi_exclusion *item = ARRAY_ADD(job->out->items, job->out->count);
    *item = (struct bi_exclusion){ .id = db_last_id(db), .cluster = xstrdup(cluster->name) };
    for (size_t i = 0; i < bound->count; i++) {
        *ARRAY_ADD(item->dcs.items, item->dcs.count) = xstrdup(bound->items[i].name);
    }
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_READINESS_SHARDS, QUERY_ARGS(QI(cluster->id), QI(BI_SHARDS_MAX)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        *ARRAY_ADD(item->shards.items, item->shards.count) = query_text(&s, 0);
    }
    return rc;
}

static int exclude_one(struct bi_job *job, const struct change *change, const char *name,
                       struct xp_err *err)
{
    struct cluster_ref cluster;
    int rc = find_cluster(change->db, name ? name : "", &cluster, err);
    if (rc == 0 && !cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "cluster not found:%.128s", name ? name : "");
    }
    if (rc != 0 || cluster.type != CLUSTER_BI_DIRECTION) {
        return rc;
    }
    struct dc_refs bound;
    rc = find_cluster_dcs(change->db, cluster.id, &bound, err);
    rc = rc != 0 ? rc : check_dcs(job, &cluster, &bound, err);
    if (rc == 0) {
        AUTO_FREE char *who =
            xstrndup(job->request->operator_name, strnlen(job->request->operator_name, 128));
        rc = query_run(
            change->db, Q_BI_INSERT,
            QUERY_ARGS(QI(cluster.id), QI(change->now_ms), QT(who), QT("Fail"), QT(job->dcs_text)),
            err);
    }
    return rc != 0 ? rc : add_item(job, change->db, &cluster, &bound, err);
}

static int begin_in(struct change *change, void *arg, struct xp_err *err)
{
    struct bi_job *job = arg;
    bi_exclusions_done(job->out);
    free(TAKE(job->dcs_text));
    int rc = resolve_dcs(job, change->db, err);
    for (size_t i = 0; rc == 0 && i < job->request->cluster_count; i++) {
        rc = exclude_one(job, change, job->request->clusters[i], err);
    }
    json_t *names = json_array();
    for (size_t i = 0; i < job->out->count; i++) {
        (void)json_array_append_new(names, json_string(job->out->items[i].cluster));
    }
    (void)json_object_set_new(change->body, "clusters", names);
    change_note(change, "excluded", job->dcs_text);
    change->is_noop = job->out->count == 0;
    return rc;
}

int bi_exclusions_begin(const struct catalog *cat, const struct change_ctx *ctx,
                        const struct bi_request *request, struct bi_exclusions *ret,
                        struct xp_err *err)
{
    struct bi_exclusions out = { 0 };
    struct bi_job job = { .cat = cat, .request = request, .out = &out };
    struct store_op op = { .name = "cluster.exclude_dcs", .fn = begin_in, .arg = &job };
    int rc = store_change(cat->store, ctx, &op, NULL, err);
    free(job.dcs_text);
    if (rc != 0) {
        bi_exclusions_done(&out);
        return rc;
    }
    *ret = out;
    return 0;
}

static int end_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct bi_exclusions *e = arg;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < e->count; i++) {
        const struct bi_exclusion *item = &e->items[i];
        bool fits = item->links && strlen(item->links) <= BI_LINKS_BYTES_MAX;
        rc = query_run(db, Q_BI_SET_STATUS,
                       QUERY_ARGS(QI(item->id), QT(item->is_told ? "Success" : "Fail"),
                                  QT(fits ? item->links : "")),
                       err);
    }
    return rc;
}

int bi_exclusions_end(const struct catalog *cat, const struct bi_exclusions *e, struct xp_err *err)
{
    struct bi_exclusions copy = *e; /* shallow: read only */
    return e->count > 0 ? store_bookkeep(cat->store, end_in, &copy, err) : 0;
}

/* ---- reading ---- */

static json_t *links_json(const struct db_stmt *s, int column)
{
    json_t *links = json_loads(db_col_text(s, column), 0, NULL);
    return links ? links : json_null();
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    json_t *list = json_array();
    *(json_t **)job->ret = list;
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, Q_BI_EVENTS, QUERY_ARGS(QI(LIST_MAX)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        (void)json_array_append_new(
            list,
            json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "id", (json_int_t)db_col_i64(&s, 0),
                      "clusterName", jd_text(db_col_text(&s, 1)), "operator",
                      jd_text(db_col_text(&s, 2)), "operationTime", event_date(db_col_i64(&s, 3)),
                      "links", links_json(&s, 6), "publishInfo", jd_text(db_col_text(&s, 4)),
                      "status", jd_text(db_col_text(&s, 5))));
    }
    return rc;
}

int bi_exclusions_list(const struct catalog *cat, json_t **ret, struct xp_err *err)
{
    return read_events_json(cat, list_in, NULL, ret, err);
}

static int of_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const char *name = job->args;
    struct cluster_ref cluster;
    json_t *list = json_array();
    *(json_t **)job->ret = list;
    int rc = find_cluster(db, name, &cluster, err);
    if (rc == 0 && !cluster.id) {
        rc = xp_fail(err, XP_NOT_FOUND, "cluster not found:%.128s", name);
    }
    if (rc != 0) {
        return rc;
    }
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_BI_EXCLUDED, QUERY_ARGS(QI(cluster.id)));
    rc = db_step(&s, err);
    json_auto_t *names = rc == DB_ROW ? json_loads(db_col_text(&s, 0), 0, NULL) : NULL;
    size_t at;
    json_t *dc;
    json_array_foreach (names, at, dc) {
        (void)json_array_append_new(list, jd_text(outer_name(job->cat, json_string_value(dc))));
    }
    return rc < 0 ? rc : 0;
}

int bi_exclusions_of(const struct catalog *cat, const char *cluster, json_t **ret,
                     struct xp_err *err)
{
    return read_events_json(cat, of_in, cluster, ret, err);
}
