/* app_trees.h - the part of app.c that wires the duties of one-way shards: keepers, containers, reports, sentinels.
 * Thread: as app.c. */
#ifndef META_APP_TREES_H
#define META_APP_TREES_H

#include "meta/app.h"

void app_trees_make(struct app *);     /* after the store and the common duty_env */
void app_trees_settings(struct app *); /* at the start and after a reload */
/* ZooKeeper can be read: after each SHARDING_READY. */
void app_trees_session(struct app *);
/* As dc_listener.on_cluster, for every cluster of the DC. */
void app_trees_cluster(struct app *, const struct cluster_meta *before,
                       const struct cluster_meta *after);
/* Nothing of one-way shards is under way in this slot (-1: in any). */
bool app_trees_are_quiet(const struct app *, int slot);
/* After the shards are freed, before the ZooKeeper session is. */
void app_trees_free(struct app *);

#endif
