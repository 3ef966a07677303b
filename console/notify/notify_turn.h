/* notify_turn.h - one look at the outbox, on a worker: acknowledge what was told, choose and build what comes next.
 *
 * Private to console/notify. Everything in a turn is a copy: the worker touches no state of the loop. Thread: worker. */
#ifndef CONSOLE_NOTIFY_NOTIFY_TURN_H
#define CONSOLE_NOTIFY_NOTIFY_TURN_H

#include "console/catalog/catalog.h"
#include "console/store/outbox.h"

#define TURN_SCAN_ROWS 512 /* of one DC's outbox at a time: busy ones and those to be sent */

enum push_kind { PUSH_CHANGED, PUSH_DELETED, PUSH_REFRESH };

struct push_item {
    enum push_kind kind;
    int64_t dc_id;
    char *dc;
    char *cluster; /* "" for PUSH_REFRESH */
    int64_t idx;
    char *body; /* NULL: none */
};

struct busy_row { /* a row the loop is dealing with: not to be chosen */
    char *cluster;
    int64_t idx;
    bool unless_newer; /* refused or told: a newer change is tried at once */
};

struct turn_lane {
    int64_t dc_id;
    char *dc;
    int room; /* pushes that may start */
    /* > 0: without a row of the outbox too, the DC is told to fetch its document at this version */
    int64_t refresh_idx;
    struct busy_row *busy;
    size_t busy_count;
};

struct turn_dc {
    int64_t id;
    char *name;
};

struct notify_turn {
    struct catalog *catalog;
    unsigned types;          /* pushed; 0 all */
    struct outbox_row *acks; /* dc_id, cluster_name, idx */
    size_t ack_count;
    struct turn_lane *lanes;
    size_t lane_count;
    /* results */
    struct push_item *items;
    size_t item_count;
    struct turn_dc *dcs;
    size_t dc_count;
    int64_t waiting_count; /* rows in the outbox afterwards */
    int64_t store_version; /* from before the look */
    bool has_newer;        /* a row was left because an older push of the cluster is under way */
    bool acked;            /* 'acks' are gone from the outbox */
    int rc;
    struct xp_err err;
};

void notify_turn_run(struct notify_turn *);
void notify_turn_done(struct notify_turn *); /* frees all, results included */
void push_item_done(struct push_item *);

#endif
