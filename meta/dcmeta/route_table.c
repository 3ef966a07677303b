/* route_table.c - see route_table.h. */
#include "meta/dcmeta/route_table.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct route_table {
    struct route_meta *rows;
    struct route **parsed; /* of each row; NULL when its text does not parse */
    size_t count;
    bool is_unknown;
};

static struct route *parse_or_null(const struct route_meta *row)
{
    struct route route;
    struct xp_err err;
    const char *text = row->route_info ? row->route_info : "";
    return route_parse(text, strlen(text), &route, &err) == 0 ? xmemdup(&route, sizeof(route))
                                                              : NULL;
}

struct route_table *route_table_new(const struct route_meta *routes, size_t count)
{
    struct route_table *table = xcalloc(1, sizeof(*table));
    table->count = count;
    table->rows = route_metas_copy(routes, count);
    table->parsed = xcalloc(count, sizeof(*table->parsed));
    for (size_t i = 0; i < count; i++) {
        table->parsed[i] = parse_or_null(&table->rows[i]);
    }
    return table;
}

struct route_table *route_table_new_unknown(void)
{
    struct route_table *table = route_table_new(NULL, 0);
    table->is_unknown = true;
    return table;
}

void route_table_free(struct route_table *table)
{
    if (!table) {
        return;
    }
    for (size_t i = 0; i < table->count; i++) {
        free(table->parsed[i]);
    }
    route_metas_free(table->rows, table->count);
    free(table->parsed);
    free(table);
}

const struct route_meta *route_table_rows(const struct route_table *table, size_t *ret_count)
{
    *ret_count = table->count;
    return table->rows;
}

/* Documents come from outside and may use an id twice: a row that does not parse must not hide one that does. */
static const struct route *parsed_by_id(const struct route_table *table, int64_t id)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].id == id && table->parsed[i]) {
            return table->parsed[i];
        }
    }
    return NULL;
}

void route_table_pick(const struct route_table *table, const struct cluster_meta *cluster,
                      const char *src_dc, const char *dst_dc, struct route_pick *ret_pick)
{
    if (table->is_unknown) {
        *ret_pick = (struct route_pick){ .kind = ROUTE_UNUSABLE };
        return;
    }
    struct route_query query = {
        .cluster_name = cluster->name,
        .type = cluster->type,
        .org_id = cluster->org_id,
        .designated_ids = cluster->designated_route_ids.items,
        .designated_count = cluster->designated_route_ids.count,
        .src_dc = src_dc,
        .dst_dc = dst_dc,
        .tag = "meta",
    };
    struct route_choice choice;
    route_choose(&query, table->rows, table->count, &choice);
    *ret_pick = (struct route_pick){ .kind = choice.kind,
                                     .route_id = choice.route_id,
                                     .is_fallback = choice.is_fallback };
    if (choice.kind == ROUTE_CHOSEN) {
        ret_pick->route = parsed_by_id(table, choice.route_id);
        ret_pick->kind = ret_pick->route ? ROUTE_CHOSEN : ROUTE_UNUSABLE;
    }
}
