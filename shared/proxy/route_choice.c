/* route_choice.c - which route a cluster takes between two DCs (metaserver.md 8.2, console-api.md 3.8.4; see route.h).
 *
 * Metaserver, console and tools of either implementation must agree on the index, so the steps are exactly those. */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/proxy/route.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "shared/base/banned.h"

size_t route_index(const char *cluster_name, size_t count)
{
    xp_check(count > 0);
    uLong crc = crc32_z(0, (const Bytef *)cluster_name, strlen(cluster_name));
    int64_t value = (int32_t)(uint32_t)crc; /* 64 bits: the magnitude of 0x80000000 fits */
    return (size_t)(value < 0 ? -value : value) % count;
}

/* A filtered list of routes, in the order of the document. */
struct candidates {
    const struct route_meta **items;
    size_t count;
};

typedef bool keep_fn(const struct route_meta *, const struct route_query *);

static void select_from(const struct candidates *from, keep_fn *keep,
                        const struct route_query *query, struct candidates *ret_kept)
{
    ret_kept->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (keep(from->items[i], query)) {
            ret_kept->items[ret_kept->count++] = from->items[i];
        }
    }
}

static bool is_of_direction(const struct route_meta *route, const struct route_query *query)
{
    return text_eq_nocase(route->tag, query->tag) && text_eq_nocase(route->src_dc, query->src_dc) &&
           text_eq_nocase(route->dst_dc, query->dst_dc);
}

static bool is_designated(const struct route_meta *route, const struct route_query *query)
{
    for (size_t i = 0; i < query->designated_count; i++) {
        if (query->designated_ids[i] == route->id) {
            return true;
        }
    }
    return false;
}

static bool is_public_of_type(const struct route_meta *route, const struct route_query *query)
{
    return route->is_public && !text_is_empty(route->cluster_type) &&
           text_eq_nocase(route->cluster_type, cluster_type_info(query->type)->name);
}

static bool is_public_of_any_type(const struct route_meta *route, const struct route_query *query)
{
    (void)query;
    return route->is_public && text_is_empty(route->cluster_type);
}

static bool is_of_org(const struct route_meta *route, const struct route_query *query)
{
    return query->org_id > 0 && route->org_id == query->org_id;
}

static bool is_of_no_org(const struct route_meta *route, const struct route_query *query)
{
    (void)query;
    return route->org_id <= 0;
}

/* One step with its fallback: *list becomes what the first rule keeps, else what the second one keeps. */
static void narrow(struct candidates *list, keep_fn *first, keep_fn *second,
                   const struct route_query *query)
{
    AUTO_FREE const struct route_meta **kept_items =
        xcalloc(list->count, sizeof(const struct route_meta *));
    struct candidates kept = { .items = kept_items };
    select_from(list, first, query, &kept);
    if (kept.count == 0) {
        select_from(list, second, query, &kept);
    }
    list->count = kept.count;
    memcpy(list->items, kept.items, kept.count * sizeof(*kept.items));
}

/* Steps 1 to 4. Returns in words why nothing is left, or by which rule it is left. */
static const char *find_candidates(const struct route_query *query, struct candidates *list)
{
    if (list->count == 0) {
        return "no route leads there";
    }
    AUTO_FREE const struct route_meta **items =
        xcalloc(list->count, sizeof(const struct route_meta *));
    struct candidates designated = { .items = items };
    select_from(list, is_designated, query, &designated);
    if (designated.count > 0) {
        list->count = designated.count;
        memcpy(list->items, items, designated.count * sizeof(*items));
        return "designated for this cluster";
    }
    narrow(list, is_public_of_type, is_public_of_any_type, query);
    if (list->count == 0) {
        return "no public route is for this cluster type";
    }
    narrow(list, is_of_org, is_of_no_org, query);
    return list->count > 0 ? "by type and organization"
                           : "no public route is for this organization";
}

static int check_usable(const struct route_query *query, const struct route_meta *meta,
                        struct route *ret_route, struct xp_err *err)
{
    const char *text = meta->route_info ? meta->route_info : "";
    int rc = route_parse(text, strlen(text), ret_route, err);
    if (rc == 0 && query->type == CLUSTER_BI_DIRECTION) {
        rc = route_check_crdt(ret_route, err);
    }
    return rc;
}

/* Step 5, and the next one in cyclic order while it is unusable. */
static void pick(const struct route_query *query, const struct candidates *list, const char *rule,
                 struct route_choice *ret_choice)
{
    size_t first = route_index(query->cluster_name, list->count);
    struct xp_err first_err = { 0 };
    ret_choice->kind = ROUTE_UNUSABLE;
    ret_choice->route_id = list->items[first]->id;
    for (size_t i = 0; i < list->count; i++) {
        const struct route_meta *meta = list->items[(first + i) % list->count];
        struct xp_err err = { 0 };
        if (check_usable(query, meta, &ret_choice->route, &err) == 0) {
            ret_choice->kind = ROUTE_CHOSEN;
            ret_choice->route_id = meta->id;
            ret_choice->is_fallback = i > 0;
            break;
        }
        first_err = i == 0 ? err : first_err;
    }
    size_t size = sizeof(ret_choice->reason);
    if (ret_choice->kind == ROUTE_UNUSABLE) {
        (void)snprintf(ret_choice->reason, size, "no usable route among %zu; route %lld: %.100s",
                       list->count, (long long)ret_choice->route_id, first_err.msg);
    } else if (ret_choice->is_fallback) {
        (void)snprintf(ret_choice->reason, size, "route %lld is unusable: %.100s",
                       (long long)list->items[first]->id, first_err.msg);
    } else {
        (void)snprintf(ret_choice->reason, size, "%s, one of %zu", rule, list->count);
    }
}

void route_choose(const struct route_query *query, const struct route_meta *routes, size_t count,
                  struct route_choice *ret_choice)
{
    AUTO_FREE const struct route_meta **items = xcalloc(count, sizeof(const struct route_meta *));
    struct candidates list = { .items = items };
    for (size_t i = 0; i < count; i++) {
        if (is_of_direction(&routes[i], query)) {
            items[list.count++] = &routes[i];
        }
    }
    const char *rule = find_candidates(query, &list);
    *ret_choice = (struct route_choice){ .kind = ROUTE_DIRECT };
    if (list.count > 0) {
        pick(query, &list, rule, ret_choice);
    } else {
        (void)snprintf(ret_choice->reason, sizeof(ret_choice->reason), "%s", rule);
    }
}
