/* dc_relations.c - see dc_relations.h. */
#include "console/catalog/dc_relations.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

enum { RELATIONS_MAX = 10000, CLUSTERS_MAX = 20000, DISTANCE_MAX = 1000000, NAME_MAX_BYTES = 128 };

struct relation { /* with inner names after parsing */
    char *pair;   /* "jq,oy"; NULL */
    char *src;
    char *dst;
    int32_t distance;
    bool is_both_ways;
};
struct relation_list {
    struct relation *items;
    size_t count;
};
struct cluster_relations {
    char *cluster;
    struct relation_list relations;
};
struct dc_relations {
    int32_t delay_per_distance_ms;
    struct relation_list dcs;
    struct relation_list regions;
    struct {
        struct cluster_relations *items;
        size_t count;
    } clusters;
    struct map by_cluster; /* struct cluster_relations *, borrowed from 'clusters' */
};

/* clang-format off */
#define REL(member) offsetof(struct relation, member)
#define DCR(member) offsetof(struct dc_relations, member)
static const struct jfield relation_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    { .name = "dcs", .type = JF_STRING, .offset = REL(pair), .max_length = 2 * NAME_MAX_BYTES + 3 },
    { .name = "src", .type = JF_STRING, .offset = REL(src), .max_length = NAME_MAX_BYTES },
    { .name = "dst", .type = JF_STRING, .offset = REL(dst), .max_length = NAME_MAX_BYTES },
    { .name = "distance", .type = JF_INT32, .offset = REL(distance), .flags = JF_REQUIRED },
    { .name = "biDirection", .type = JF_BOOL, .offset = REL(is_both_ways) },
    { 0 },
};
#define RELATION_LIST(key, at) { .name = (key), .type = JF_ARRAY, .offset = (at), .sub = relation_fields, \
                                 .elem_size = sizeof(struct relation), .max_count = RELATIONS_MAX }
static const struct jfield cluster_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    { .name = "clusterName", .type = JF_STRING, .offset = offsetof(struct cluster_relations, cluster), .flags = JF_REQUIRED,
      .max_length = NAME_MAX_BYTES },
    RELATION_LIST("relations", offsetof(struct cluster_relations, relations)),
    { 0 },
};
static const struct jfield root_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    { .name = "delayPerDistance", .type = JF_INT32, .offset = DCR(delay_per_distance_ms) },
    RELATION_LIST("dcLevel", DCR(dcs)),
    RELATION_LIST("regionLevel", DCR(regions)),
    { .name = "clusterLevel", .type = JF_ARRAY, .offset = DCR(clusters), .sub = cluster_fields,
      .elem_size = sizeof(struct cluster_relations), .max_count = CLUSTERS_MAX },
    { 0 },
};
/* clang-format on */

void dc_relations_free(struct dc_relations *relations)
{
    if (relations) {
        map_done(&relations->by_cluster);
        jd_done(root_fields, relations);
        free(relations);
    }
}

/* ---- parsing ---- */

static int split_pair(struct relation *r, struct xp_err *err)
{
    const char *comma = strchr(r->pair, ',');
    if (r->src || r->dst || !comma || strchr(comma + 1, ',')) {
        return xp_fail(err, XP_INVALID, "dcs: \"%.128s\" is not \"dc,dc\" instead of src and dst",
                       r->pair);
    }
    r->src = xstrndup(r->pair, (size_t)(comma - r->pair));
    r->dst = xstrdup(comma + 1);
    r->is_both_ways = true;
    return 0;
}

static void make_inner(const struct dc_alias *alias, char **name)
{
    const char *inner = dc_alias_inner(alias, *name);
    if (inner != *name) {
        char *copy = xstrdup(inner);
        free(*name);
        *name = copy;
    }
}

static int settle(struct relation *r, const struct dc_alias *alias, struct xp_err *err)
{
    int rc = r->pair ? split_pair(r, err) : 0;
    if (rc != 0) {
        return rc;
    }
    if (text_is_empty(r->src) || text_is_empty(r->dst) || text_eq_nocase(r->src, r->dst)) {
        return xp_fail(err, XP_INVALID, "src, dst: two DCs, or \"dcs\":\"dc,dc\"");
    }
    if (r->distance < -DISTANCE_MAX || r->distance > DISTANCE_MAX) {
        return xp_fail(err, XP_INVALID, "distance: %d..%d", -DISTANCE_MAX, DISTANCE_MAX);
    }
    make_inner(alias, &r->src);
    make_inner(alias, &r->dst);
    return 0;
}

static int settle_all(const struct relation_list *list, const struct dc_alias *alias,
                      const char *where, struct xp_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (settle(&list->items[i], alias, err) != 0) {
            char at[NAME_MAX_BYTES + 32];
            (void)snprintf(at, sizeof(at), "%s[%zu]", where, i);
            return xp_wrap(err, "%s", at);
        }
    }
    return 0;
}

static int settle_clusters(struct dc_relations *r, const struct dc_alias *alias, struct xp_err *err)
{
    for (size_t i = 0; i < r->clusters.count; i++) {
        struct cluster_relations *c = &r->clusters.items[i];
        if (map_put(&r->by_cluster, c->cluster, c)) {
            return xp_fail(err, XP_INVALID, "clusterLevel: cluster %s is there twice", c->cluster);
        }
        int rc = settle_all(&c->relations, alias, c->cluster, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int fill(struct dc_relations *r, const char *text, const struct dc_alias *alias,
                struct xp_err *err)
{
    json_error_t where;
    json_auto_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(root)) {
        return root ? xp_fail(err, XP_INVALID, "it must be a JSON object")
                    : xp_fail(err, XP_INVALID, "%s (line %d, column %d)", where.text, where.line,
                              where.column);
    }
    int rc = jd_object(root, root_fields, r, err);
    rc = rc == 0 ? settle_all(&r->dcs, alias, "dcLevel", err) : rc;
    return rc == 0 ? settle_clusters(r, alias, err) : rc;
}

int dc_relations_parse(const char *json_text, const struct dc_alias *alias,
                       struct dc_relations **ret_relations, struct xp_err *err)
{
    bool is_blank = text_is_empty(json_text) || json_text[strspn(json_text, " \t\r\n")] == '\0';
    struct dc_relations *r = xcalloc(1, sizeof(*r));
    r->by_cluster = MAP_INIT(MAP_TEXT_NOCASE);
    int rc = is_blank ? 0 : fill(r, json_text, alias, err);
    if (rc != 0) {
        dc_relations_free(r);
        return rc;
    }
    *ret_relations = r;
    return 0;
}

/* ---- asking ---- */

static bool is_from(const struct relation *r, const char *from, const char **ret_to)
{
    bool is_there = text_eq_nocase(r->src, from);
    *ret_to = is_there ? r->dst : r->src;
    return is_there || (r->is_both_ways && text_eq_nocase(r->dst, from));
}

/* False: nothing is said of this DC. The last one counts, as in x-pipe. */
static bool look_up(const struct relation_list *list, const char *from, const char *to,
                    int32_t *ret_distance)
{
    bool is_said = false;
    *ret_distance = 0;
    for (size_t i = 0; i < list->count; i++) {
        const char *other;
        bool is_its = is_from(&list->items[i], from, &other);
        is_said |= is_its;
        if (is_its && text_eq_nocase(other, to)) {
            *ret_distance = list->items[i].distance;
        }
    }
    return is_said;
}

int32_t dc_relations_distance(const struct dc_relations *relations, const char *cluster,
                              const char *from, const char *to)
{
    int32_t distance;
    if (!relations) {
        return DC_DISTANCE_ALIKE;
    }
    const struct cluster_relations *own = map_get(&relations->by_cluster, cluster);
    bool is_said = (own && look_up(&own->relations, from, to, &distance)) ||
                   look_up(&relations->dcs, from, to, &distance);
    return is_said ? distance : DC_DISTANCE_ALIKE;
}

bool dc_relations_pick(const int32_t *distances, size_t count, int64_t cluster_id, size_t *ret_at)
{
    int32_t best = 0;
    size_t like_it = 0;
    for (size_t i = 0; i < count; i++) {
        if (distances[i] > 0 && (best == 0 || distances[i] < best)) {
            best = distances[i];
            like_it = 0;
        }
        like_it += distances[i] > 0 && distances[i] == best;
    }
    if (like_it == 0) {
        return false;
    }
    size_t left = (size_t)cluster_id % like_it;
    size_t at = 0;
    while (distances[at] != best || left-- > 0) {
        at++;
    }
    *ret_at = at;
    return true;
}
