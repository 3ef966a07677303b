/* fake_console.h - a model of the console for the simulation: versioned metadata of a few clusters in two or more DCs, the
 * documents that metaservers fetch, and pushes. Not here: SQLite, REST, pages.
 *
 * Documents and pushed clusters are built by the real encoder (console/documents/document.c). A change is one commit: it
 * gets the next idx, stamps what it concerns, and puts a row into the outbox of each DC that must be told; a row is one
 * (DC, cluster), a newer one replaces it, it stays until a metaserver took it, over restarts too. Pushes are those of
 * console/notify: at least once, the present state, a lane per DC with a back-off. The network below delays, doubles and
 * loses them; fake_console_repeat sends an old one again.
 * Thread: one. */
#ifndef TESTS_SIM_FAKE_CONSOLE_H
#define TESTS_SIM_FAKE_CONSOLE_H

#include "shared/base/addr.h"
#include "shared/model/cluster_type.h"
#include "shared/net/loop.h"

#define CONSOLE_DCS      2
#define CONSOLE_CLUSTERS 64 /* that ever existed: ids are never used again */
#define CONSOLE_SHARDS   2
#define CONSOLE_REDISES  3 /* of one shard in one DC */
#define CONSOLE_KEEPERS  2 /* the same */
/* of keepers, in one DC; their ids are 1 + dc * CONSOLE_CONTAINERS + number */
#define CONSOLE_CONTAINERS 3
#define CONSOLE_ROUTES     6

struct fake_console;

struct console_cluster {
    char name[24];
    int64_t id;
    int place; /* which group of Redis it is made of; free for the caller */
    enum cluster_type type;
    bool is_deleted;
    bool is_migrating;
    unsigned dcs; /* bit per DC; one-way: the first is the active one */
    int shard_count;
    struct addr redis[CONSOLE_DCS][CONSOLE_SHARDS][CONSOLE_REDISES]; /* none: not in the metadata */
    struct addr keeper[CONSOLE_DCS][CONSOLE_SHARDS]
                      [CONSOLE_KEEPERS]; /* none: not in the metadata */
    int64_t keeper_container[CONSOLE_DCS][CONSOLE_SHARDS][CONSOLE_KEEPERS];
    int64_t version; /* idx of its last change */
};

struct console_route {
    int64_t id;
    int src; /* DC */
    int dst;
    bool is_active;   /* others are not in documents */
    const char *info; /* "" is what documents carry for one that cannot be used */
};

struct fake_console_options {
    struct loop *loop;
    struct addr addr;
    const char *dcs[CONSOLE_DCS];
    struct addr containers[CONSOLE_DCS][CONSOLE_CONTAINERS]; /* none: there is none */
    /* The metaserver that gets the next push for this DC: the load balancer in front of them. */
    struct addr (*metaserver)(int dc, void *arg);
    /* A push was answered with 200: this DC knows the cluster (NULL: the routes) at that version. */
    void (*taken)(int dc, const char *cluster, int64_t version, void *arg);
    void *arg;
};

struct fake_console *fake_console_new(const struct fake_console_options *);
void fake_console_free(struct fake_console *);

/* ---- metadata: change what the pointers show, then commit ---- */

struct console_cluster *fake_console_cluster(struct fake_console *,
                                             size_t index);                   /* NULL: no more */
struct console_cluster *fake_console_find(struct fake_console *, int64_t id); /* or NULL */
/* A new one, of a name that nobody has now; the caller fills it and commits. */
struct console_cluster *fake_console_add(struct fake_console *, const char *name, int64_t id);
bool fake_console_has_room(const struct fake_console *); /* for one more cluster */
void fake_console_commit(struct fake_console *, struct console_cluster *);
struct console_route *fake_console_route(struct fake_console *, size_t index); /* NULL: no more */
struct console_route *fake_console_add_route(struct fake_console *);
void fake_console_commit_routes(struct fake_console *, int src);

int64_t fake_console_version(const struct fake_console *);
int64_t fake_console_dc_version(const struct fake_console *, int dc);
/* Was the cluster under migration at that version of it? */
bool fake_console_was_migrating(const struct fake_console *, int64_t id, int64_t version);

/* ---- trouble ---- */

/* Down: documents are refused, nothing is pushed; answers to pushes under way are lost. */
void fake_console_stop(struct fake_console *, bool is_stopped);
bool fake_console_is_stopped(const struct fake_console *);

/* told only to who has a document already (If-None-Match) */
enum console_lie {
    CONSOLE_HONEST,
    CONSOLE_HALF,      /* every second cluster is missing */
    CONSOLE_ROUTELESS, /* no routes */
    CONSOLE_OLD,       /* the document of some commits ago, with its version */
    CONSOLE_EMPTY,
};
void fake_console_lie(struct fake_console *, enum console_lie);
/* One of the last pushes travels again; 'which' chooses. False: there was none yet. */
bool fake_console_repeat(struct fake_console *, uint64_t which);
/* Nothing waits in the outbox and nothing is under way. */
bool fake_console_is_idle(const struct fake_console *);

#endif
