/* routes_impact.c - what a change of routes or proxies does to clusters, and which changes are refused for it
 * (proxy-and-keeper.md 3.7 R3, R6, R7, R8); also the reports that use the same choice. */
#include "console/catalog/routes_internal.h"
#include "shared/base/str.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/banned.h"

enum { DESIGNATED_MAX = 256 };

/* ---- comparing ---- */

/* Documents carry those that cannot be used, too, with an empty text. */
static bool is_in_documents(const struct route_row *row)
{
    return row && row->is_active;
}

/* Would a document show a difference? */
static bool same_in_documents(const struct route_row *a, const struct route_row *b)
{
    if (!is_in_documents(a) || !is_in_documents(b)) {
        return is_in_documents(a) == is_in_documents(b);
    }
    return a->org_id == b->org_id && a->is_public == b->is_public && a->src_dc_id == b->src_dc_id &&
           a->dst_dc_id == b->dst_dc_id && text_eq(a->cluster_type, b->cluster_type) &&
           text_eq(a->tag, b->tag) && text_eq(a->route_info, b->route_info);
}

static const struct route_row *row_by_id(const struct route_rows *rows, int64_t id)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].id == id) {
            return &rows->items[i];
        }
    }
    return NULL;
}

/* The rows, old and new, that differ; borrowed. */
struct differing {
    const struct route_row **items;
    size_t count;
};

static void find_differing(const struct route_rows *before, const struct route_rows *after,
                           struct differing *ret)
{
    ret->items = xcalloc(before->count + after->count + 1, sizeof(*ret->items));
    ret->count = 0;
    for (size_t i = 0; i < before->count; i++) {
        if (!same_in_documents(&before->items[i], row_by_id(after, before->items[i].id))) {
            ret->items[ret->count++] = &before->items[i];
        }
    }
    for (size_t i = 0; i < after->count; i++) {
        if (!same_in_documents(&after->items[i], row_by_id(before, after->items[i].id))) {
            ret->items[ret->count++] = &after->items[i];
        }
    }
}

static void differing_done(struct differing *d)
{
    free(d->items);
}

/* ---- impact ---- */

struct routes_view { /* as route_choose wants them */
    struct route_meta *metas;
    size_t count;
};

static size_t parse_ids(const char *list, int64_t ids[DESIGNATED_MAX])
{
    const char *cursor = list ? list : "";
    const char *part = NULL;
    size_t length = 0;
    size_t count = 0;
    while (count < DESIGNATED_MAX && text_next_part(&cursor, ",", &part, &length)) {
        count += text_to_i64(part, length, 0, INT64_MAX, &ids[count]);
    }
    return count;
}

static bool choice_eq(const struct route_choice *a, const struct route_choice *b)
{
    return a->kind == b->kind && (a->kind != ROUTE_CHOSEN || route_eq(&a->route, &b->route));
}

static void count_cluster(const struct db_stmt *s, const struct route_choice *was,
                          const struct route_choice *now, struct route_impact *impact)
{
    const char *name = db_col_text(s, 1);
    if (was->kind != now->kind && now->kind != ROUTE_CHOSEN) {
        if (impact->stranded_clusters++ == 0) {
            (void)snprintf(impact->example, sizeof(impact->example), "%s", name);
        }
    } else if (!choice_eq(was, now)) {
        if (impact->reconnect_clusters++ == 0 && impact->stranded_clusters == 0) {
            (void)snprintf(impact->example, sizeof(impact->example), "%s", name);
        }
        impact->reconnect_shards += db_col_i64(s, 5);
    }
}

static int impact_of_direction(struct db *db, const struct route_row *direction,
                               const struct routes_view view[2], struct route_impact *impact,
                               struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_ROUTE_CLUSTERS,
                                  QUERY_ARGS(QI(direction->src_dc_id), QI(direction->dst_dc_id)));
    int64_t ids[DESIGNATED_MAX];
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct route_choice choice[2];
        struct route_query query = {
            .cluster_name = db_col_text(&s, 1),
            .type = cluster_type_from_text(db_col_text(&s, 2)),
            .org_id = db_col_i64(&s, 3),
            .designated_ids = ids,
            .designated_count = parse_ids(db_col_text(&s, 4), ids),
            .src_dc = direction->src_dc,
            .dst_dc = direction->dst_dc,
            .tag = "meta",
        };
        for (size_t i = 0; i < 2; i++) {
            route_choose(&query, view[i].metas, view[i].count, &choice[i]);
        }
        count_cluster(&s, &choice[0], &choice[1], impact);
    }
    return rc;
}

static bool direction_seen(const struct differing *d, size_t until)
{
    for (size_t i = 0; i < until; i++) {
        if (d->items[i]->src_dc_id == d->items[until]->src_dc_id &&
            d->items[i]->dst_dc_id == d->items[until]->dst_dc_id) {
            return true;
        }
    }
    return false;
}

int routes_impact(struct db *db, const struct route_rows *before, const struct route_rows *after,
                  struct route_impact *ret_impact, struct xp_err *err)
{
    CLEANUP(differing_done) struct differing d;
    find_differing(before, after, &d);
    struct routes_view view[2];
    view[0].metas = route_metas_of(before, &view[0].count);
    view[1].metas = route_metas_of(after, &view[1].count);
    struct route_impact impact = { 0 };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < d.count; i++) {
        if (!direction_seen(&d, i)) {
            rc = impact_of_direction(db, d.items[i], view, &impact, err);
        }
    }
    free(view[0].metas);
    free(view[1].metas);
    if (rc == 0) {
        *ret_impact = impact;
    }
    return rc;
}

/* ---- the end of a change ---- */

/* R3, R4: a route may not become unusable, or be saved so, while it is active. */
static int check_usable(const struct route_rows *before, const struct route_rows *after,
                        struct xp_err *err)
{
    for (size_t i = 0; i < after->count; i++) {
        const struct route_row *now = &after->items[i];
        const struct route_row *was = row_by_id(before, now->id);
        bool was_bad_too = was && was->is_active && was->problem;
        if (now->is_active && now->problem && !was_bad_too) {
            return xp_fail(
                err, XP_CONFLICT,
                "route %lld (%s -> %s) would be unusable: %.80s; add one first or use force",
                (long long)now->id, now->src_dc, now->dst_dc, now->problem);
        }
    }
    return 0;
}

static bool has_public_meta(const struct route_rows *rows, int64_t src_dc_id, int64_t dst_dc_id)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct route_row *row = &rows->items[i];
        if (row->is_active && !row->problem && row->is_public && text_eq_nocase(row->tag, "meta") &&
            row->src_dc_id == src_dc_id && row->dst_dc_id == dst_dc_id) {
            return true;
        }
    }
    return false;
}

/* R7: both directions or neither. */
static void warn_one_sided(const struct differing *d, const struct route_rows *after,
                           struct catalog_result *result)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct route_row *row = d->items[i];
        bool there = has_public_meta(after, row->src_dc_id, row->dst_dc_id);
        bool back = has_public_meta(after, row->dst_dc_id, row->src_dc_id);
        if (there != back && text_eq_nocase(row->tag, "meta")) {
            (void)snprintf(result->warning, sizeof(result->warning),
                           "%.60s -> %.60s has no usable public route, the other way has: "
                           "bi-directional clusters "
                           "need both",
                           there ? row->dst_dc : row->src_dc, there ? row->src_dc : row->dst_dc);
            return;
        }
    }
}

static int tell_sources(struct change *change, struct catalog_result *result,
                        const struct differing *d, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < d->count; i++) {
        bool is_told = false;
        for (size_t j = 0; j < i; j++) {
            is_told = is_told || d->items[j]->src_dc_id == d->items[i]->src_dc_id;
        }
        struct dc_ref dc = { .id = d->items[i]->src_dc_id };
        (void)snprintf(dc.name, sizeof(dc.name), "%s", d->items[i]->src_dc);
        struct effect_on on = { .kind = EFFECT_DC_DOCUMENT, .dcs = &dc, .dc_count = 1 };
        rc = is_told ? 0 : change_effect(change, result, &on, err);
    }
    return rc;
}

static int check_impact(const struct route_impact *impact, bool force, struct xp_err *err)
{
    if (impact->stranded_clusters == 0 || force) {
        return 0;
    }
    return xp_fail(err, XP_CONFLICT,
                   "%lld clusters would be left without a usable route (such as %.60s): add "
                   "another route first or "
                   "use force",
                   (long long)impact->stranded_clusters, impact->example);
}

int routes_finish_change(struct change *change, struct catalog_result *result,
                         const struct route_rows *before, bool force, struct xp_err *err)
{
    CLEANUP(route_rows_done) struct route_rows after = { 0 };
    int rc = routes_load(change->db, 0, INT64_MAX, &after, err);
    if (rc == 0 && !force) {
        rc = check_usable(before, &after, err);
    }
    if (rc == 0) {
        rc = routes_impact(change->db, before, &after, &result->impact, err);
    }
    if (rc == 0) {
        rc = check_impact(&result->impact, force, err);
    }
    if (rc != 0) {
        return rc;
    }
    CLEANUP(differing_done) struct differing d;
    find_differing(before, &after, &d);
    warn_one_sided(&d, &after, result);
    return tell_sources(change, result, &d, err);
}

/* ---- reports ---- */

static void add_problem(struct route_problems *problems, const struct route_row *row, int64_t id,
                        char *text)
{
    struct route_problem *problem = ARRAY_ADD(problems->items, problems->count);
    *problem = (struct route_problem){ id, xstrdup(row->src_dc), xstrdup(row->dst_dc), text };
}

static void check_row(const struct route_rows *rows, size_t at, struct route_problems *problems)
{
    const struct route_row *row = &rows->items[at];
    if (row->is_active && row->problem) {
        add_problem(problems, row, row->id, xasprintf("unusable: %s", row->problem));
    }
    bool is_first = true;
    for (size_t i = 0; i < at; i++) {
        is_first = is_first && !(rows->items[i].src_dc_id == row->src_dc_id &&
                                 rows->items[i].dst_dc_id == row->dst_dc_id);
    }
    if (is_first && has_public_meta(rows, row->src_dc_id, row->dst_dc_id) &&
        !has_public_meta(rows, row->dst_dc_id, row->src_dc_id)) {
        add_problem(problems, row, 0,
                    xasprintf("no usable public route %s -> %s", row->dst_dc, row->src_dc));
    }
}

static int check_in(struct db *db, void *arg, struct xp_err *err)
{
    CLEANUP(route_rows_done) struct route_rows rows = { 0 };
    int rc = routes_load(db, 0, INT64_MAX, &rows, err);
    for (size_t i = 0; rc == 0 && i < rows.count; i++) {
        check_row(&rows, i, arg);
    }
    return rc;
}

int routes_check(struct catalog *cat, struct route_problems *ret_problems, struct xp_err *err)
{
    struct route_problems problems = { 0 };
    int rc = store_read(cat->store, check_in, &problems, err);
    if (rc == 0) {
        *ret_problems = problems;
    }
    return rc;
}

void route_problems_done(struct route_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->items[i].src_dc);
        free(problems->items[i].dst_dc);
        free(problems->items[i].text);
    }
    free(problems->items);
    *problems = (struct route_problems){ 0 };
}

/* ---- the routes of one cluster ---- */

struct of_cluster {
    struct cluster_ref cluster;
    struct dc_ref src;
    struct dc_refs dcs;
};

static int resolve(const struct read_job *job, struct db *db, struct of_cluster *ret,
                   struct xp_err *err)
{
    const struct cluster_src *args = job->args;
    int rc = find_cluster(db, args->cluster ? args->cluster : "", &ret->cluster, err);
    if (rc == 0 && !ret->cluster.id) {
        rc = xp_fail(err, XP_NOT_FOUND, "cluster %s not found", args->cluster ? args->cluster : "");
    }
    if (rc == 0) {
        rc = find_dc(job->cat, db, args->src_dc ? args->src_dc : "", &ret->src, err);
    }
    if (rc == 0 && !ret->src.id) {
        rc = xp_fail(err, XP_NOT_FOUND, "dc %s not found", args->src_dc ? args->src_dc : "");
    }
    return rc == 0 ? find_cluster_dcs(db, ret->cluster.id, &ret->dcs, err) : rc;
}

static int read_designated(struct db *db, int64_t cluster_id, int64_t ids[DESIGNATED_MAX],
                           size_t *ret_count, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_CLUSTER_ROUTE_IDS, QUERY_ARGS(QI(cluster_id)));
    int rc = db_step(&s, err);
    *ret_count = rc == DB_ROW ? parse_ids(db_col_text(&s, 0), ids) : 0;
    return rc < 0 ? rc : 0;
}

int routes_choose(struct db *db, const struct cluster_ref *cluster,
                  struct route_direction *directions, size_t count, struct xp_err *err)
{
    CLEANUP(route_rows_done) struct route_rows routes = { 0 };
    int64_t ids[DESIGNATED_MAX];
    size_t id_count = 0;
    size_t meta_count = 0;
    int rc = read_designated(db, cluster->id, ids, &id_count, err);
    rc = rc == 0 ? routes_load(db, 0, INT64_MAX, &routes, err) : rc;
    AUTO_FREE struct route_meta *metas = route_metas_of(&routes, &meta_count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct route_direction *d = &directions[i];
        struct route_query query = { cluster->name, cluster->type, cluster->org_pk, ids,
                                     id_count,      d->src_dc,     d->dst_dc,       "meta" };
        route_choose(&query, metas, meta_count, &d->choice);
    }
    return rc;
}

static int of_cluster_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct route_choice_rows *rows = job->ret;
    struct of_cluster of = { 0 };
    struct route_direction ways[DCS_PER_CLUSTER_MAX];
    size_t count = 0;
    int rc = resolve(job, db, &of, err);
    for (size_t i = 0; rc == 0 && i < of.dcs.count; i++) {
        if (of.dcs.items[i].id != of.src.id) {
            ways[count++] =
                (struct route_direction){ .src_dc = of.src.name, .dst_dc = of.dcs.items[i].name };
        }
    }
    rc = rc == 0 ? routes_choose(db, &of.cluster, ways, count, err) : rc;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct route_choice_row *row = ARRAY_ADD(rows->items, rows->count);
        row->dst_dc = xstrdup(ways[i].dst_dc);
        row->choice = ways[i].choice;
    }
    return rc;
}

int routes_of_cluster(struct catalog *cat, const struct cluster_src *args,
                      struct route_choice_rows *ret_rows, struct xp_err *err)
{
    struct route_choice_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = args, .ret = &rows };
    int rc = store_read(cat->store, of_cluster_in, &job, err);
    if (rc == 0) {
        *ret_rows = rows;
    }
    return rc;
}

void route_choice_rows_done(struct route_choice_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->items[i].dst_dc);
    }
    free(rows->items);
    *rows = (struct route_choice_rows){ 0 };
}
