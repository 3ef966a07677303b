/* store.h - the console's database: opening, reading, and the one way to change it (design D3, D14).
 *
 * Every mutation of console data is one transaction that also appends a row to change_log. Its 'idx' is THE version of
 * metadata: 1, 2, 3, ... without gaps; documents, pushes and ETags carry it. Each row carries
 * hash = SHA-256(prev_hash and the row's fields), so that a later edit of the log shows (store_verify_chain).
 * Not here: what the tables mean (console/catalog). Delivery of pushes is in store/outbox.h.
 * Thread: workers (a call may block on the disk); store_version: any. All writers queue on one connection.
 * Errors: XP_UNAVAILABLE when the disk is full, read-only or the file locked, with advice; nothing is half done. */
#ifndef CONSOLE_STORE_STORE_H
#define CONSOLE_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/map.h"
#include "shared/db/db.h"

struct store;

struct store_options {
    const char *path;        /* database file; PATH.lock keeps a second console out */
    int readers;             /* read connections, 1..64; 0: 4 */
    int64_t busy_timeout_ms; /* 0: 5,000 */
};

int store_open(const struct store_options *, struct store **ret_store,
               struct xp_err *) XP_MUST_CHECK;
void store_close(struct store *); /* NULL is fine */

/* Who asks for a change. Texts are borrowed for the call; NULL counts as "". They are stored, cut at 256 bytes. */
struct change_ctx {
    const char *actor; /* user or token name */
    const char *request_id;
    const char *peer_ip;
    /* > 0: the cluster must still have this version (If-Match), else XP_CONFLICT; else ignored */
    int64_t if_version;
    /* do everything, then roll back: checks and results are real, nothing is stored */
    bool dry_run;
};

/* A change in progress, given to the function that makes it. */
struct change {
    struct db *db;
    int64_t idx;    /* the version this change will have */
    wall_ms now_ms; /* one time for all rows of the change */
    const struct change_ctx *ctx;
    json_t *body; /* object, empty at first: the function describes the change in it */
    /* of the store, for outbox.c: by DC id, how many rows more may come before they are counted; under the write lock */
    struct map *outbox_room;
    /* set it when there was nothing to change: no row is appended, the version stays */
    bool is_noop;
    /* set it when no metadata changed, only bookkeeping: it is committed, no row is appended, the version stays */
    bool is_bookkeeping;
};
typedef int store_change_fn(struct change *, void *arg, struct xp_err *);

struct store_op {
    const char *name; /* stable: "cluster.create" */
    store_change_fn *fn;
    void *arg;
};

/* Runs op->fn in a write transaction and appends to change_log. *ret_idx (NULL is fine): the new version; the present
 * one when nothing was to change; the one it would have had in a dry run. Any error rolls back everything. */
int store_change(struct store *, const struct change_ctx *, const struct store_op *,
                 int64_t *ret_idx, struct xp_err *) XP_MUST_CHECK;

/* A consistent read; nothing may be written. */
int store_read(struct store *, int (*fn)(struct db *, void *arg, struct xp_err *), void *arg,
               struct xp_err *) XP_MUST_CHECK;
/* A write transaction without a change_log row: for bookkeeping only (push acknowledgments), never for metadata. */
int store_bookkeep(struct store *, int (*fn)(struct db *, void *arg, struct xp_err *), void *arg,
                   struct xp_err *) XP_MUST_CHECK;

/* The last committed version, from memory; 0 for an empty database. A read may already see a newer one. */
int64_t store_version(const struct store *);
/* The version as this read transaction sees it. */
int store_version_in(struct db *, int64_t *ret_idx, struct xp_err *) XP_MUST_CHECK;

/* Why the database cannot be written now, for /ready; false: all is well. Any thread. See db_problem. */
bool store_problem(struct store *, char ret_text[DB_PROBLEM_BYTES]);
/* Looks for problems and for their end; see db_check. Workers. */
void store_check(struct store *);

/* ---- the change log: audit, event stream ---- */
struct change_row {
    int64_t idx;
    int64_t epoch;
    wall_ms at_ms;
    char *actor;
    char *request_id;
    char *op;
    char *body; /* JSON text */
    char *prev_hash;
    char *hash; /* 64 hex digits */
};
struct change_rows {
    struct change_row *items;
    size_t count;
};
/* Rows with idx > after_idx, ascending; limit 1..1,000. */
int store_changes(struct store *, int64_t after_idx, int limit, struct change_rows *ret_rows,
                  struct xp_err *) XP_MUST_CHECK;
void change_rows_done(struct change_rows *);

struct chain_report {
    int64_t checked_count;
    int64_t bad_idx; /* 0: the chain is sound; else the first row that is missing or changed */
    char reason[160];
};
/* Reads the whole log in pages. 0 also when the chain is broken: look at bad_idx. Does not see a cut-off tail. */
int store_verify_chain(struct store *, struct chain_report *ret_report,
                       struct xp_err *) XP_MUST_CHECK;

#endif
