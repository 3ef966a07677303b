/* dc_store.h - what this DC should be, in memory: clusters and routes as last accepted (metaserver.md 5).
 *
 * Fed by whole documents (dc_fetch) and by single pushes of the console; tells one listener what changed. Knows nothing of
 * slots: the listener sees every cluster of the DC. Never applies an older version over a newer one. A local change (push)
 * raises 'seq', so that a document whose fetch began before it is dropped by its fetcher.
 * Owner: loop, all functions. Clusters handed out are borrowed until the next turn; take a reference to keep one. */
#ifndef META_DCMETA_DC_STORE_H
#define META_DCMETA_DC_STORE_H

#include <jansson.h>

#include "meta/dcmeta/dc_diff.h"
#include "meta/dcmeta/dc_hosts.h"
#include "meta/dcmeta/route_table.h"
#include "shared/base/clock.h"

struct dc_store;

struct dc_listener {
    /* before NULL: added; after NULL: removed. The store already shows the new state. */
    void (*on_cluster)(const struct cluster_meta *before, struct cluster_meta *after, void *arg);
    /* The table was replaced; the old one is freed after this returns: choose every route anew. */
    void (*on_routes)(void *arg);
    void *arg;
};

/* 'order_hold_ms': active_orders.h. */
struct dc_store *dc_store_new(const char *dc, int64_t order_hold_ms,
                              const struct dc_listener *listener);
void dc_store_free(struct dc_store *);

const char *dc_store_dc(const struct dc_store *); /* lower case */
uint64_t
dc_store_seq(const struct dc_store *); /* grows with every change that was not a document */
mono_ms dc_store_changed_at(const struct dc_store *); /* of the last such change; MONO_NEVER */
int64_t dc_store_version(const struct dc_store *);
bool dc_store_has_document(const struct dc_store *); /* from the console or, stale, from the disk */
/* Time of the last answer of the console that confirmed the document; MONO_NEVER when it came from the disk. */
mono_ms dc_store_confirmed_at(const struct dc_store *);

/* Did the console confirm what is here of this cluster, with an answer to a question of 'since' or later? A change that was held back, or a
 * cluster of the document that cannot be used, is not confirmed. */
bool dc_store_is_confirmed(const struct dc_store *, const char *cluster, mono_ms since);

struct cluster_meta *dc_store_cluster(const struct dc_store *, const char *name);
struct cluster_meta *dc_store_cluster_by_id(const struct dc_store *, int64_t db_id);
size_t dc_store_count(const struct dc_store *);
/* Every cluster, in no order. 'fn' must not change the store. */
void dc_store_each(const struct dc_store *, void (*fn)(struct cluster_meta *, void *arg),
                   void *arg);
/* Never NULL; before the first document "not known", which is not "none". */
const struct route_table *dc_store_routes(const struct dc_store *);
/* Keeper containers and sentinel groups of the last document (dc_hosts.h). Nobody is told of a change: look again. */
const struct dc_hosts *dc_store_hosts(const struct dc_store *);
uint64_t
dc_store_hosts_changes(const struct dc_store *); /* documents that changed them, since the start */

/* A document of its own with references to the clusters: for a worker (comparison, the file on disk). Returns owned. */
struct dc_meta *dc_store_snapshot(const struct dc_store *);

/* What collides with the name or id of a cluster that is held back is marked held, too.
 * Applies an accepted comparison of 'after' with a snapshot taken at 'seq'.
 * XP_CONFLICT: something changed since; fetch again. */
int dc_store_apply(struct dc_store *, uint64_t seq, const struct dc_meta *after,
                   struct dc_diff *diff, const struct brake_verdict *verdict, mono_ms confirmed_at,
                   struct xp_err *err) XP_MUST_CHECK;
void dc_store_confirm(struct dc_store *, mono_ms confirmed_at); /* 304 */

/* One pushed cluster (takes the reference). XP_CONFLICT: older than what is here, than its deletion, or than a document
 * that does not have it. XP_INVALID: the cluster has a problem. */
int dc_store_put(struct dc_store *, struct cluster_meta *take_cluster, mono_ms now,
                 struct xp_err *err) XP_MUST_CHECK;
/* A pushed deletion; version 0: from a console without versions. Removing what is not there is success, and stamps the
 * change all the same, so that neither a fetch under way nor an overtaken push can bring it back.
 * XP_CONFLICT: the cluster was made or changed after that deletion. */
int dc_store_remove(struct dc_store *, const char *name, int64_t version, mono_ms now,
                    struct xp_err *err) XP_MUST_CHECK;

/* A switchover ordered that 'dc' is the active DC of this cluster (its other DCs are the backup ones), before the console says
 * so: in memory, for documents and pushes to come as well, until one that is newer than what is known of this cluster, and not
 * of a migration under way, says who it is (active_orders.h says when, exactly). Tells the listener. XP_NOT_FOUND: no such cluster;
 * XP_INVALID: 'dc' is none of its DCs. */
int dc_store_set_active(struct dc_store *, int64_t db_id, const char *dc, mono_ms now,
                        struct xp_err *err) XP_MUST_CHECK;

/* What the last document would have changed and was held back; {"held":0} when nothing. "problems": the clusters of it that
 * cannot be used. Returns owned. */
json_t *dc_store_quarantine_json(const struct dc_store *);
int dc_store_held_count(const struct dc_store *);
/* Is there something in the last document that must be seen again: held back, or overruled by an order for a while? */
bool dc_store_wants_again(const struct dc_store *);
/* Clusters of the last document that cannot be used (of the first DC_PROBLEMS_KEPT): what they say is not known. */
int dc_store_problem_count(const struct dc_store *);

#endif
