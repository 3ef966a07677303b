/* fake_switch_world.h - the steps of one shard (shard_switch.h) in virtual time, in DC "jq". Below them are fakes: runs that end when the
 * test says so and ask before they command (fence_run, promote_run), one record in a ZooKeeper that answers when the test says so
 * (switch_record), a tree that counts what it is told (tree_duty), and two Redis with the settings that a fence changes.
 * There is one world, for most of what it stands in for has no argument to say which. Thread: one. */
#ifndef TESTS_SIM_FAKE_SWITCH_WORLD_H
#define TESTS_SIM_FAKE_SWITCH_WORLD_H

#include "meta/primary/switch_internal.h"
#include "shared/base/list.h"

enum { CLUSTER_ID = 7, SHARD_ID = 70, FENCE_MS = 1000, ANSWERS_MAX = 64 };
enum { FIRST_PORT = 6379, REDIS = 2 };

struct fence_run {
    struct list link;
    struct fence_options o;
};
struct promote_run {
    struct list link;
    struct promote_options o;
};

struct switch_told { /* one answer */
    enum switch_step step;
    int rc;
    char text[256];
    enum fence_state fence;
    bool is_success;
    bool is_stale;
    struct addr new_master;
};

/* what the settling of settings sees and changes; at 10.0.1.1, from FIRST_PORT on */
struct switch_redis {
    bool follows;
    int64_t min_slaves;
    bool is_read_only;
    int changes;
};

struct switch_world {
    struct switch_redis redis[REDIS];
    struct loop *loop;
    struct dc_store *store;
    struct duty_env env;
    struct shard_switches *all;
    struct list fences; /* runs under way, the oldest first */
    struct list promotions;
    int started;
    struct { /* the request to ZooKeeper that is not answered */
        switch_record_fn *done;
        void *arg;
        bool is_put;
        struct switch_record record;
    } asked;
    struct switch_record node; /* in ZooKeeper */
    int puts;                  /* that were carried out */
    struct switch_told told[ANSWERS_MAX];
    int answers;
    int master_port; /* of whom the runs find to be the master */
    bool is_seen
        [REDIS]; /* as a master or frozen, by the run that ends; with 'own' min-slaves-to-write */
    int64_t own[REDIS];
    int64_t seen_min_slaves; /* of who is looked at; -1: not to be read, or the fence's own */
    struct addr appointed;
    int appointments;
    int sentinels_left;
    bool adds_sentinels; /* the next order says so */
};
extern struct switch_world switch_world;

/* The slot is not gained yet; the primary DC is 'active', the other one of jq and fra is the backup. */
void switch_world_open(const char *active);
void switch_world_close(void);
/* A document comes from the console. */
void switch_world_document(const char *active, const char *status, int version);
/* The request to ZooKeeper is answered. rc 0: it was carried out, in the order of versions. */
void switch_world_zk_answers(int rc);
/* A switch_answer_fn: notes it in 'told'. */
void switch_world_told(const struct switch_answer *, void *arg);

#endif
