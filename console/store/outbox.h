/* outbox.h - which metaservers must still be told: pushes that survive a crash (console-api.md 7.1 no. 11).
 *
 * A change writes its rows in its own transaction; a notifier lists them, pushes, and acknowledges. One row for each
 * (DC, cluster): a newer change replaces the older one, since a push always carries the present state. A row with
 * cluster_name "" means "the whole document of this DC" and stands for all its clusters. Bounded: when a DC collects more
 * than OUTBOX_ROWS_PER_DC_MAX rows (its metaservers are away), they are replaced by its one whole-document row.
 * Not here: HTTP, back-off, filtering by type. Thread: workers. */
#ifndef CONSOLE_STORE_OUTBOX_H
#define CONSOLE_STORE_OUTBOX_H

#include "console/store/store.h"

#define OUTBOX_ROWS_PER_DC_MAX 2000

struct outbox_row {
    int64_t dc_id;
    char *dc_name;      /* stored spelling */
    char *cluster_name; /* "": the whole document */
    /* upper case; "" for the whole document, and of a cluster that had another type before */
    char *cluster_type;
    bool is_deleted;  /* tell this DC that the cluster is gone (deleted, or unbound from it) */
    int64_t idx;      /* version of the newest change behind it */
    wall_ms since_ms; /* of the oldest change not yet told */
};
struct outbox_rows {
    struct outbox_row *items;
    size_t count;
};

/* Oldest idx first, limit 1..10,000. dc_id 0: all DCs. */
int outbox_list(struct store *, int64_t dc_id, int limit, struct outbox_rows *ret_rows,
                struct xp_err *) XP_MUST_CHECK;
void outbox_rows_done(struct outbox_rows *);
/* Removes the rows that were told, unless a newer change came in between (its idx is higher). One transaction; no
 * change_log row. Only dc_id, cluster_name and idx are read. */
int outbox_ack(struct store *, const struct outbox_row *rows, size_t count,
               struct xp_err *) XP_MUST_CHECK;
/* How many are waiting (for /metrics). */
int outbox_count(struct store *, int64_t *ret_count, struct xp_err *) XP_MUST_CHECK;

/* For changes: writes or replaces one row inside the transaction. dc_name and since_ms are not read. */
int outbox_put(const struct change *, const struct outbox_row *, struct xp_err *) XP_MUST_CHECK;

#endif
