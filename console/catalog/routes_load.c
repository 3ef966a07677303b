/* routes_load.c - reading routes and working out their texts; see routes.h and routes_internal.h. */
#include "console/catalog/routes_internal.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

enum { HOPS = 3, HOP_TEXT_MAX_BYTES = 16384 };
static const char *const hop_words[HOPS] = { "near", "middle", "far" };

/* While the proxies of one route come in. */
struct hop_texts {
    struct str active[HOPS]; /* uris joined by ',' */
};

static void add_id(struct route_ids *ids, int64_t id)
{
    *ARRAY_ADD(ids->items, ids->count) = id;
}

static int load_rows(struct db *db, int64_t first_id, int64_t last_id, struct route_rows *rows,
                     struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_ROUTE_LIST, QUERY_ARGS(QI(first_id), QI(last_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct route_row *row = ARRAY_ADD(rows->items, rows->count);
        row->id = db_col_i64(&s, 0);
        row->org_id = db_col_i64(&s, 1);
        row->cluster_type = query_text(&s, 2);
        row->src_dc = query_text(&s, 3);
        row->dst_dc = query_text(&s, 4);
        row->tag = query_text(&s, 5);
        row->is_active = db_col_i64(&s, 6) != 0;
        row->is_public = db_col_i64(&s, 7) != 0;
        row->description = query_text(&s, 8);
        row->src_dc_id = db_col_i64(&s, 9);
        row->dst_dc_id = db_col_i64(&s, 10);
    }
    return rc;
}

static size_t hop_of(const char *word)
{
    return text_eq(word, "src") ? 0 : text_eq(word, "opt") ? 1 : 2;
}

static int load_hops(struct db *db, const struct route_rows *rows, struct hop_texts *texts,
                     struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(
        db, Q_ROUTE_HOPS, QUERY_ARGS(QI(rows->items[0].id), QI(rows->items[rows->count - 1].id)));
    size_t at = 0;
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        while (at < rows->count && rows->items[at].id < db_col_i64(&s, 0)) {
            at++; /* both come by id */
        }
        if (at == rows->count || rows->items[at].id != db_col_i64(&s, 0)) {
            continue;
        }
        struct route_row *row = &rows->items[at];
        struct route_ids *const lists[HOPS] = { &row->src_proxies, &row->opt_proxies,
                                                &row->dst_proxies };
        size_t hop = hop_of(db_col_text(&s, 1));
        add_id(lists[hop], db_col_i64(&s, 2));
        if (db_col_i64(&s, 4) != 0) {
            struct str *text = &texts[at].active[hop];
            str_printf(text, "%s%s", text->len ? "," : "", db_col_text(&s, 3));
        }
    }
    return rc;
}

/* Never shortened: a hop that was given and has no active proxy makes the whole route unusable (R4). */
static char *find_problem(const struct route_row *row, const struct hop_texts *texts)
{
    for (size_t hop = 0; hop < HOPS; hop++) {
        bool is_needed = hop != 1 || row->opt_proxies.count > 0;
        if (is_needed && texts->active[hop].len == 0) {
            return xasprintf("the %s hop has no active proxy", hop_words[hop]);
        }
    }
    struct route route;
    struct xp_err why = { 0 };
    if (route_parse(row->route_info, strlen(row->route_info), &route, &why) != 0) {
        return xstrdup(why.msg);
    }
    struct addr longest = addr_of("255.255.255.255", 65535);
    if (route_line_bytes(&route, &longest) > ROUTE_LINE_MAX_BYTES) {
        return xasprintf("its line has more than %d bytes: use fewer proxies",
                         ROUTE_LINE_MAX_BYTES);
    }
    return NULL;
}

static void finish_row(struct route_row *row, struct hop_texts *texts)
{
    struct str info = STR_INIT(HOPS * HOP_TEXT_MAX_BYTES);
    for (size_t hop = 0; hop < HOPS; hop++) {
        if (texts->active[hop].len > 0) {
            str_printf(&info, "%s%s", info.len ? " " : "", str_text(&texts->active[hop]));
        }
    }
    row->route_info = str_take(&info);
    row->problem = find_problem(row, texts);
    if (row->problem) {
        row->route_info[0] = '\0';
    }
    for (size_t hop = 0; hop < HOPS; hop++) {
        str_done(&texts->active[hop]);
    }
}

int routes_load(struct db *db, int64_t first_id, int64_t last_id, struct route_rows *ret_rows,
                struct xp_err *err)
{
    struct route_rows rows = { 0 };
    int rc = load_rows(db, first_id, last_id, &rows, err);
    if (rc == 0 && rows.count > 0) {
        struct hop_texts *texts = xcalloc(rows.count, sizeof(*texts));
        for (size_t i = 0; i < rows.count * HOPS; i++) {
            texts[i / HOPS].active[i % HOPS] = STR_INIT(HOP_TEXT_MAX_BYTES);
        }
        rc = load_hops(db, &rows, texts, err);
        for (size_t i = 0; i < rows.count; i++) {
            finish_row(&rows.items[i], &texts[i]);
        }
        free(texts);
    }
    if (rc != 0) {
        route_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

static void route_row_done(struct route_row *row)
{
    free(row->cluster_type);
    free(row->src_dc);
    free(row->dst_dc);
    free(row->src_proxies.items);
    free(row->opt_proxies.items);
    free(row->dst_proxies.items);
    free(row->route_info);
    free(row->problem);
    free(row->tag);
    free(row->description);
}

void route_rows_done(struct route_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        route_row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct route_rows){ 0 };
}

struct route_meta *route_metas_of(const struct route_rows *rows, size_t *ret_count)
{
    struct route_meta *metas = xcalloc(rows->count + 1, sizeof(*metas));
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct route_row *row = &rows->items[i];
        if (row->is_active) {
            metas[count++] = (struct route_meta){ row->id,        row->tag,       row->src_dc,
                                                  row->dst_dc,    row->org_id,    row->cluster_type,
                                                  row->is_public, row->route_info };
        }
    }
    *ret_count = count;
    return metas;
}

/* ---- the public list ---- */

static bool dc_wanted(const struct catalog *cat, const char *wanted, const char *name)
{
    return !wanted || text_eq_nocase(dc_alias_inner(cat->alias, wanted), name);
}

static bool row_wanted(const struct catalog *cat, const struct route_filter *filter,
                       const struct route_row *row)
{
    return (!filter->active_only || row->is_active) &&
           dc_wanted(cat, filter->src_dc, row->src_dc) &&
           dc_wanted(cat, filter->dst_dc, row->dst_dc) &&
           (!filter->tag || text_eq_nocase(filter->tag, row->tag));
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct route_rows *rows = job->ret;
    int rc = routes_load(db, 0, INT64_MAX, rows, err);
    size_t kept = 0;
    for (size_t i = 0; rc == 0 && i < rows->count; i++) {
        if (row_wanted(job->cat, job->args, &rows->items[i])) {
            rows->items[kept++] = rows->items[i];
        } else {
            route_row_done(&rows->items[i]);
        }
    }
    rows->count = kept;
    return rc;
}

int routes_list(struct catalog *cat, const struct route_filter *filter, struct route_rows *ret_rows,
                struct xp_err *err)
{
    struct route_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = filter, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc == 0) {
        *ret_rows = rows;
    }
    return rc;
}
