/* migration_asks.h - one request that asks the engine about one or several migrations, and is answered when all are committed or refused.
 * What is asked is the engine's (migration_engine.h); the form of the answer is the caller's. Thread: workers; answers on the loop. */
#ifndef CONSOLE_API_MIGRATION_ASKS_H
#define CONSOLE_API_MIGRATION_ASKS_H

#include "console/api/request.h"
#include "console/migration/migration_events.h"

struct migration_asked {
    char *cluster; /* as stored, or as asked; "" the event */
    char *from_dc; /* outer names; NULL: there is no such migration */
    char *to_dc;
    int64_t migration_cluster_id; /* 0: the event, or there is none (rc says so) */
    int rc;
    struct xp_err err;
};
struct migration_asks {
    int64_t event_id;
    enum migration_ask ask;
    const char *word; /* static: for the answer */
    struct migration_asked *items;
    size_t count;
    struct http_req *req; /* private, from here on */
    void (*render)(const struct migration_asks *, struct http_resp *, int *ret_rc,
                   struct xp_err *err);
    int waiting;
};
/* Fills *resp, or *ret_rc and *err. */
typedef void migration_asks_render_fn(const struct migration_asks *, struct http_resp *,
                                      int *ret_rc, struct xp_err *err);

/* Empty; the caller fills it, then runs it or frees it. */
struct migration_asks *migration_asks_new(int64_t event_id, enum migration_ask ask,
                                          const char *word);
void migration_asks_free(struct migration_asks *);
struct migration_asked *migration_asks_add(struct migration_asks *);
/* All clusters of the event, or the named ones (count > 0), in that order; a name that is not there gets XP_NOT_FOUND with the reference's
 * text. XP_NOT_FOUND of the whole: there is no such event, and no names. */
int migration_asks_fill(const struct http_req *, struct migration_asks *,
                        const struct names *clusters, struct xp_err *) XP_MUST_CHECK;
/* The cluster with this id. XP_NOT_FOUND: `event <e>, cluster:<c> not found`. */
int migration_asks_fill_id(const struct http_req *, struct migration_asks *, int64_t cluster_id,
                           struct xp_err *) XP_MUST_CHECK;
/* Takes the asks. Returns HTTP_LATER. */
int migration_asks_run(struct http_req *, struct migration_asks *, migration_asks_render_fn *);

/* ---- what the faces of migrations share (api_migration.c) ---- */

/* Empty texts: auto, canary. XP_INVALID. */
int migration_read_words(const char *mode, const char *policy, enum migration_mode *ret_mode,
                         enum migration_policy *ret_policy, struct xp_err *) XP_MUST_CHECK;
/* Why no event may be made now, owned; NULL: they may, or that is ignored (ignore.migration.system.avail). */
int migration_system_check(const struct http_req *, char **ret_why, struct xp_err *) XP_MUST_CHECK;
/* XP_UNAVAILABLE with the reason while the machinery of migrations is unwell, and that is not ignored. */
int migration_system_refuses(const struct http_req *, struct xp_err *) XP_MUST_CHECK;
/* A new event is there: wakes the engine and the notifier. */
void migration_tell(const struct http_req *);
http_handler migration_get_health_status;

#endif
