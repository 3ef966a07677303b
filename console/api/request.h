/* request.h - what the handlers of console/api share: their context, typed request members, the end of a change.
 *
 * Handlers are thin: decode, call one service of console/catalog, encode. Rules of the domain are not here, nor is the
 * wire form of errors (envelope.h). Thread: workers, unless the route says loop. */
#ifndef CONSOLE_API_REQUEST_H
#define CONSOLE_API_REQUEST_H

#include "console/api/envelope.h"
#include "console/catalog/catalog.h"
#include "console/catalog/redises.h"
#include "console/documents/document_cache.h"
#include "console/health/container_health.h"
#include "console/migration/bi_survey.h"
#include "console/migration/migration_engine.h"
#include "console/migration/migration_health.h"
#include "console/migration/plan_maker.h"
#include "console/migration/readiness_board.h"
#include "console/migration/migration_wait.h"
#include "console/notify/notifier.h"
#include "shared/model/json_decode.h"
#include "shared/net/daemon.h"

/* Every type that can be named; the same as 0. */
#define API_ALL_TYPES                                                                              \
    (TYPE_BIT(CLUSTER_ONE_WAY) | TYPE_BIT(CLUSTER_BI_DIRECTION) | TYPE_BIT(CLUSTER_SINGLE_DC) |    \
     TYPE_BIT(CLUSTER_LOCAL_DC) | TYPE_BIT(CLUSTER_CROSS_DC) | TYPE_BIT(CLUSTER_HETERO))

/* How the faces of migrations reach the engine: migration_engine_ask and _wake, but in unit tests. */
struct migration_port {
    struct migration_engine *engine; /* NULL: no migrations are run here */
    void (*ask)(struct migration_engine *, int64_t event_id, int64_t migration_cluster_id,
                enum migration_ask ask, const char *actor, migration_asked_fn *, void *arg);
    void (*wake)(struct migration_engine *);
    /* the door and the queue of requests that are answered at the end */
    struct migration_waits *waits;
    void (*wait)(struct migration_waits *, int64_t migration_cluster_id, mono_ms deadline,
                 migration_waited_fn *, void *arg); /* migration_waits_add */
};

struct idempotency_limits { /* idempotency.h */
    int64_t keep_ms;
    int64_t max_count;
};

/* How plans are made: switch_plan_decide, but in unit tests. */
struct plan_port {
    struct plan_maker *maker; /* NULL: no plans are made here */
    struct switch_plan *(*decide)(const struct switch_plan_facts *);
};

/* http_options.arg; filled before the server starts, then immutable but for what is atomic. */
struct api_context {
    struct daemon *daemon; /* FIRST (daemon.h); NULL in unit tests */
    struct catalog *catalog;
    struct document_cache *documents;
    struct notifier *notifier; /* NULL: nobody is told at once */
    /* NULL, in unit tests: keeper containers are not asked how they are */
    struct container_health *container_health;
    struct migration_port migration;           /* zeroed in unit tests without it */
    struct migration_health *migration_health; /* NULL: it counts as healthy */
    struct readiness_board *readiness;         /* NULL, in unit tests: nobody looks */
    struct outer_client *outer;                /* NULL: nobody out there is told */
    struct bi_asker *bi_asker;                 /* NULL: nobody is asked about links */
    struct plan_port plans;                    /* zeroed in unit tests without it */
    struct idempotency_limits idempotency;
    /* for what goes on behind an answer of the loop; NULL in unit tests */
    struct worker_pool *pool;
    const char *address; /* for /health; "" unknown */
    const char *dc;      /* for /health */
    /* atomic: of a request that is answered when a migration is over */
    int64_t migration_timeout_ms;
    unsigned default_types; /* atomic: clusters in documents when the request names none; 0 all */
};

struct api_context *api_context(const struct http_req *);
struct catalog *api_catalog(const struct http_req *);
struct change_ctx api_change(const struct http_req *); /* borrows from the request */
struct shard_place
api_place(const struct http_req *); /* {cluster}, {dc}, {shard} of the path; borrowed */

/* Goes on with a request that waited, on a worker: worker_submit, and XP_UNAVAILABLE once the workers are gone (loop). */
int api_submit(const struct http_req *, struct job *, struct xp_err *) XP_MUST_CHECK;

/* Ends a successful change: {"state":0,"message":text or "success"}, a warning as an extra member; wakes the notifier;
 * frees the result. Returns 0. */
int api_changed(const struct http_req *, struct http_resp *, const char *text,
                struct catalog_result *result);
/* The part of it that answers nothing. */
void api_tell(const struct http_req *, struct catalog_result *result);

/* ---- decoding ---- */
struct opt_i64 {
    bool has;
    int64_t value;
};
int decode_opt_i64(const json_t *value, void *ret_opt_i64,
                   struct xp_err *err); /* number, or decimal text */
int decode_tri(const json_t *value, void *ret_tri,
               struct xp_err *err); /* enum tri; also "true", "false" */
/* Rows of decode tables: a text (NULL when absent), an integer (struct opt_i64), a flag (enum tri). */
#define TEXT_FIELD(member_name, owner, member)                                                     \
    {                                                                                              \
        .name = (member_name), .type = JF_STRING, .offset = offsetof(owner, member)                \
    }
#define INT_FIELD(member_name, owner, member)                                                      \
    {                                                                                              \
        .name = (member_name), .type = JF_CUSTOM, .offset = offsetof(owner, member),               \
        .decode = decode_opt_i64                                                                   \
    }
#define TRI_FIELD(member_name, owner, member)                                                      \
    {                                                                                              \
        .name = (member_name), .type = JF_CUSTOM, .offset = offsetof(owner, member),               \
        .decode = decode_tri                                                                       \
    }
enum tri tri_either(enum tri first, enum tri second); /* two spellings of one member */

/* The body as an object decoded by 'table'. False: resp holds the answer (malformed), the handler returns 0. The caller
 * frees the object with jd_done in either case. */
bool api_body_object(const struct http_req *, struct http_resp *, const struct jfield *table,
                     void *ret_object);

/* A JSON array of objects, each decoded by one table. */
struct object_list {
    const struct jfield *table;
    size_t size;
    char *bytes; /* count objects of 'size' bytes */
    size_t count;
};
bool api_body_list(const struct http_req *, struct http_resp *, struct object_list *list);
void object_list_done(struct object_list *);
static inline void *object_list_at(const struct object_list *list, size_t index)
{
    return list->bytes + index * list->size;
}

/* The body as an array of texts. Owned (names_done). */
bool api_body_texts(const struct http_req *, struct http_resp *, struct names *ret_texts);

/* A path parameter as a number; a mistyped one is answered as malformed. */
bool api_param_i64(const struct http_req *, struct http_resp *, const char *name,
                   int64_t *ret_value);
/* A query parameter true or false; 'absent' when it is missing. */
bool api_query_bool(const struct http_req *, struct http_resp *, const char *name, bool absent,
                    bool *ret_value);

/* ---- encoding ---- */
/* An answer with an ETag of its bytes: who has it already gets 304. */
void api_json_etag(struct http_resp *, json_t *take_value);
json_t *json_date(wall_ms at_ms);              /* 2024-01-02T03:04:05.000+0000 */
json_t *json_addrs(const struct redis_rows *); /* ["ip:port", ...] */

#endif
