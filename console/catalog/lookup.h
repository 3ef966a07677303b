/* lookup.h - inside console/catalog only: finding rows by name, checking input, noting effects, running a change.
 *
 * A find_ answers 0 with ret->id == 0 when there is no such live row: the text of that failure belongs to the caller.
 * Owner: the thread that owns the connection. */
#ifndef CONSOLE_CATALOG_LOOKUP_H
#define CONSOLE_CATALOG_LOOKUP_H

#include "console/catalog/catalog.h"
#include "console/store/query.h"

enum { NAME_MAX_BYTES = 128, DCS_PER_CLUSTER_MAX = 64, CRDT_DCS_MAX = 15, STAMP_SIZE = 18 };

struct dc_ref {
    int64_t id;
    char name[NAME_MAX_BYTES + 1];
    int64_t zone_id;
    bool is_active;
    int64_t dc_cluster_id; /* set by find_cluster_dcs only */
};
struct dc_refs {
    struct dc_ref items[DCS_PER_CLUSTER_MAX];
    size_t count;
};
struct cluster_ref {
    int64_t id;
    char name[NAME_MAX_BYTES + 1];
    enum cluster_type type;
    const char *type_name; /* static */
    int64_t active_dc_id;  /* 0: multi-active */
    int64_t org_pk;
    char status[16];
    int64_t migration_event_id;
    int64_t version;
    char tag[33];
    const struct cluster_type_info *info;
};
struct shard_ref {
    int64_t id;
    char name[NAME_MAX_BYTES + 1];
};

int find_cluster(struct db *, const char *name, struct cluster_ref *ret,
                 struct xp_err *) XP_MUST_CHECK;
int find_cluster_dcs(struct db *, int64_t cluster_id, struct dc_refs *ret,
                     struct xp_err *) XP_MUST_CHECK;
/* 'name' may be the outer name. */
int find_dc(const struct catalog *, struct db *, const char *name, struct dc_ref *ret,
            struct xp_err *) XP_MUST_CHECK;
int find_shard(struct db *, int64_t cluster_id, const char *name, struct shard_ref *ret,
               struct xp_err *) XP_MUST_CHECK;
/* An availability zone of this DC; no name gives 0. `available zone <az> is not exist`. */
int find_az(struct db *, const char *name, int64_t dc_id, int64_t *ret_id,
            struct xp_err *) XP_MUST_CHECK;
const struct dc_ref *dc_refs_by_id(const struct dc_refs *, int64_t dc_id); /* NULL */

/* 1..128 bytes of UTF-8 without control characters, '/' and blanks at the ends; not '.' or '..'. 'what' names the field in the text. */
int name_check(const char *what, const char *name, struct xp_err *) XP_MUST_CHECK;
/* The same for a DC: letters, digits, '.', '_', '-'. Every program folds them alike (D13); metaservers put them into lists
 * ("jq,oy"), paths and ZooKeeper nodes. */
int dc_name_check(const char *what, const char *name, struct xp_err *) XP_MUST_CHECK;
/* XP_INVALID: a path of the API has this word in the place of the name ('words' ends with NULL), in any case. */
int name_check_reserved(const char *what, const char *name, const char *const *words,
                        struct xp_err *) XP_MUST_CHECK;
/* How many DCs a cluster of this type may have: CRDT gids are 1..15. */
size_t cluster_dcs_max(enum cluster_type type);
/* UTF-8 without control characters but TAB, CR, LF; NULL is fine. */
int text_check(const char *what, const char *text, size_t max_bytes, struct xp_err *) XP_MUST_CHECK;
void stamp_text(wall_ms at_ms, char ret_stamp[STAMP_SIZE]); /* yyyyMMddHHmmssSSS, UTC */

/* ---- inside a change ---- */

/* The If-Match of the request against this cluster. */
int change_check_version(const struct change *, const struct cluster_ref *,
                         struct xp_err *) XP_MUST_CHECK;
/* Refuses while a migration holds the cluster: XP_LOCKED. */
int change_check_unlocked(const struct cluster_ref *, struct xp_err *) XP_MUST_CHECK;
/* Both: THE check before any edit of what a cluster consists of (DCs, shards, Redis, keepers, routes, sentinels). */
int change_check_editable(const struct change *, const struct cluster_ref *,
                          struct xp_err *) XP_MUST_CHECK;
int change_touch_cluster(const struct change *, int64_t cluster_id, struct xp_err *) XP_MUST_CHECK;
/* Adds the effect to the result, one outbox row for each DC, and raises the versions of their documents. */
struct effect_on {
    enum effect_kind kind;
    const struct cluster_ref *cluster; /* NULL for EFFECT_DC_DOCUMENT */
    const struct dc_ref *dcs;
    size_t dc_count;
};
int change_effect(const struct change *, struct catalog_result *, const struct effect_on *,
                  struct xp_err *) XP_MUST_CHECK;
/* "Changed" where it matters: 'dc' alone for one-way types, all DCs for multi-active ones or when dc is NULL. */
int change_effect_cluster(const struct change *, struct catalog_result *,
                          const struct cluster_ref *, const struct dc_ref *dc,
                          struct xp_err *) XP_MUST_CHECK;
/* Notes for the change log; texts that are not UTF-8 are left out. */
void change_note(const struct change *, const char *key, const char *text);
void change_note_number(const struct change *, const char *key, int64_t value);

/* The set of types as a JSON list for json_each; NULL for all. Returns owned (free). */
char *types_json(unsigned types);
/* Splits what a query joined with line feeds (no name holds one). */
void split_lines(const char *lines, struct names *ret_names);

/* ---- running a change ---- */

/* What a service's function gets: the catalog, its arguments, and where to put the result. */
struct service_job {
    struct catalog *cat;
    const void *args;
    struct catalog_result result;
};
/* There was nothing to change. */
static inline int change_nothing(struct change *change, struct service_job *job)
{
    change->is_noop = true;
    job->result.is_noop = true;
    return 0;
}
/* Fills *ret_result on success; frees the half-built one on failure. */
int catalog_change(struct catalog *, const struct change_ctx *, struct store_op *,
                   struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

/* What a reading function gets. */
struct read_job {
    const struct catalog *cat;
    const void *args;
    void *ret;
};

/* One more element, zeroed, of the array 'items' of 'count'; a pointer to it. The capacity doubles. */
#define ARRAY_ADD(items, count)                                                                    \
    ((items) = array_grow((items), (count), sizeof(*(items))), &(items)[(count)++])
/* Behind ARRAY_ADD: returns the array with room for one more element, which is zeroed. */
void *array_grow(void *items, size_t count, size_t size);

#endif
