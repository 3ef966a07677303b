/* fake_tree_services.h - the twins of what a one-way shard's duty uses besides Redis: keeper_watch, container_calls,
 * keeper_report, sentinel_monitors. Nobody is called, everything is counted. Thread: one. */
#ifndef TESTS_SIM_FAKE_TREE_SERVICES_H
#define TESTS_SIM_FAKE_TREE_SERVICES_H

#include "meta/keepers/container_calls.h"
#include "meta/keepers/keeper_report.h"
#include "meta/keepers/keeper_watch.h"
#include "meta/primary/sentinel_monitors.h"

#define FAKE_ZK_READ_MS   20 /* from keeper_watch_add, or a change, to the children */
#define FAKE_CONTAINER_MS 30 /* from submit to the end of a call */

struct fake_tree_services { /* what was asked for since the test last cleared it */
    int reports;
    struct addr reported;
    int report_drops;
    int adds; /* calls to containers */
    int removes;
    struct addr added;
    struct addr removed;
    struct addr container; /* of the last call */
    int monitors;          /* now */
    int retired;           /* shards that left their sentinels for good */
    char kept[128];        /* the last one: sentinels that were spared */
    int kicks;
    int64_t zk_ms;    /* besides FAKE_ZK_READ_MS */
    bool fails_calls; /* containers answer with an error */
    monitored_state_fn *monitored;
    void *monitored_arg;
    /* The world: the children as ZooKeeper has them now, and what a call does. */
    size_t (*children)(struct keeper_child *ret_children, void *arg);
    void (*on_call)(const struct container_call *, void *arg);
    void *arg;
};

extern struct fake_tree_services fake_services;

/* The election changed: every watch reads again. */
void fake_keeper_watch_changed(struct keeper_watch *);

#endif
