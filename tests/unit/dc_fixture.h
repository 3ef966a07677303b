/* dc_fixture.h - small DC documents for tests of meta/dcmeta and meta/peers, built from a list of clusters. */
#ifndef TESTS_UNIT_DC_FIXTURE_H
#define TESTS_UNIT_DC_FIXTURE_H

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/dc_meta.h"

struct cluster_row {
    const char *name; /* NULL ends a list */
    int64_t db_id;
    const char *redises; /* ports of 10.0.1.1, such as "6379,6380"; NULL: "6379" */
    const char *dcs;     /* NULL: "jq,fra" */
    const char *type;    /* NULL: BI_DIRECTION */
    int64_t version;
    int org_id; /* 0: left out */
    bool has_no_shards;
};

/* C(name, id, ports, dcs, type, version): what is left out is the default. */
#define C(cluster_name, id, ...)                                                                   \
    {                                                                                              \
        .name = (cluster_name), .db_id = (id), __VA_ARGS__                                         \
    }
#define ROWS(...) ((const struct cluster_row[]){ __VA_ARGS__, { 0 } })

static inline char *cluster_text(const struct cluster_row *c)
{
    struct str text = STR_INIT(65536);
    str_printf(&text, "{\"id\":\"%s\",\"dbId\":%lld,\"version\":%lld", c->name, (long long)c->db_id,
               (long long)c->version);
    if (c->org_id) {
        str_printf(&text, ",\"orgId\":%d", c->org_id);
    }
    str_printf(&text, ",\"type\":\"%s\",\"dcs\":\"%s\"", c->type ? c->type : "BI_DIRECTION",
               c->dcs ? c->dcs : "jq,fra");
    if (c->has_no_shards) {
        str_puts(&text, ",\"shards\":{}}");
        return str_take(&text);
    }
    str_printf(&text, ",\"shards\":{\"s1\":{\"id\":\"s1\",\"dbId\":%lld,\"redises\":[",
               (long long)c->db_id * 10);
    const char *cursor = c->redises ? c->redises : "6379";
    const char *part;
    size_t length;
    for (const char *comma = ""; text_next_part(&cursor, ",", &part, &length); comma = ",") {
        str_printf(&text, "%s{\"ip\":\"10.0.1.1\",\"port\":%.*s}", comma, (int)length, part);
    }
    str_puts(&text, "]}}}");
    return str_take(&text);
}

/* 'routes' are elements of the JSON array, "" none; 'dc' NULL writes null. */
static inline char *document_text(const char *dc, int64_t version, const struct cluster_row *rows,
                                  const char *routes)
{
    struct str text = STR_INIT(16U << 20);
    str_printf(&text, dc ? "{\"id\":\"%s\"" : "{\"id\":%s", dc ? dc : "null");
    str_printf(&text, ",\"version\":%lld,\"clusters\":{", (long long)version);
    for (size_t i = 0; rows[i].name; i++) {
        AUTO_FREE char *cluster = cluster_text(&rows[i]);
        str_printf(&text, "%s\"%s\":%s", i ? "," : "", rows[i].name, cluster);
    }
    str_printf(&text, "},\"routes\":[%s]}", routes);
    return str_take(&text);
}

static inline struct dc_meta *document_of(int64_t version, const struct cluster_row *rows,
                                          const char *routes)
{
    AUTO_FREE char *text = document_text("jq", version, rows, routes);
    struct dc_meta *meta = NULL;
    xp_check(dc_meta_parse(text, strlen(text), &meta, NULL) == 0);
    return meta;
}

static inline struct cluster_meta *cluster_of(const struct cluster_row *row)
{
    AUTO_FREE char *text = cluster_text(row);
    json_t *json = json_loads(text, 0, NULL);
    struct cluster_meta *cluster = NULL;
    xp_check(cluster_meta_from_json(json, &cluster, NULL) == 0);
    json_decref(json);
    return cluster;
}

#define ROUTE_TO_FRA(id, info)                                                                     \
    "{\"id\":" #id ",\"tag\":\"meta\",\"srcDc\":\"jq\",\"dstDc\":\"fra\",\"clusterType\":\"\","    \
    "\"isPublic\":true,\"routeInfo\":\"" info "\"}"

#endif
