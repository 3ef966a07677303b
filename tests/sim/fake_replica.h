/* fake_replica.h - a Redis or a keeper of a one-way shard as a model, behind fake_rconn's handler: ROLE, INFO, SLAVEOF, KEEPER
 * GETSTATE and SETSTATE, CONFIG REWRITE, CONFIG GET and SET of slave-priority and min-slaves-to-write, DEL of what is not there, with links
 * that need time.
 *
 * A link to whoever is asked for ('upstream_is_up' of the world says whether it serves) is "connect" at first, "sync" for sync_ms
 * when its data is foreign, then "connected". The test changes the fields at any time. Thread: one. */
#ifndef TESTS_SIM_FAKE_REPLICA_H
#define TESTS_SIM_FAKE_REPLICA_H

#include "meta/keepers/tree_facts.h"
#include "tests/sim/fake_rconn.h"

#define FAKE_LINK_MS 100 /* from SLAVEOF to the first byte */

/* what it does with a command that changes it */
enum fake_replica_trick {
    FAKE_REPLICA_HONEST,
    FAKE_REPLICA_REFUSES,  /* -ERR */
    FAKE_REPLICA_PRETENDS, /* +OK and nothing */
    FAKE_REPLICA_SWALLOWS, /* carried out, no answer */
    FAKE_REPLICA_HANGS,    /* not carried out, no answer */
};

struct fake_replica {
    struct addr addr;
    bool is_keeper;
    struct addr master; /* none: a master, or a keeper that was told nothing */
    mono_ms linked_at;  /* it was pointed there, or the link came back */
    int64_t sync_ms;    /* of the next full synchronisation; 0: partial */
    mono_ms sync_until;
    enum keeper_state state; /* keepers */
    char route[256];         /* keepers: the words behind PROXY, "" direct */
    int run;                 /* counts restarts */
    mono_ms started_at;
    bool is_up; /* its process; as seen by those that pull from it */
    bool has_xslaveof;
    bool is_loading;          /* refuses everything */
    const char *role_instead; /* ROLE answers this error */
    enum fake_replica_trick trick;
    const char *repl_id;
    int64_t min_slaves; /* min-slaves-to-write; of a master 1 or more refuse writes here */
    int64_t offset;
    int priority;
    enum fake_replica_trick keeps_priority; /* what it does with a change of it alone */
    bool has_kept_priority;                 /* it refused another one, or never answered */
    mono_ms changed_at;                     /* by hand or by command */
    /* counts of what reached it */
    int commands; /* SLAVEOF, XSLAVEOF, SETSTATE */
    int xslaveofs;
    int rewrites;
    int priorities; /* CONFIG SET slave-priority */
    int roles;
    mono_ms commanded_at;
    mono_ms answers_at; /* of the command on its way */
    char last[512];
    bool (*upstream_is_up)(const struct addr *, void *arg);
    void *arg;
};

void fake_replica_init(struct fake_replica *, const struct addr *addr, bool is_keeper);
/* By hand: what no command of ours did. A none address makes a master. */
void fake_replica_point(struct fake_replica *, const struct addr *master);
/* a new process; a keeper is PRE_... and knows no route */
void fake_replica_restart(struct fake_replica *);
enum role_link fake_replica_link(const struct fake_replica *);
struct rreply *fake_replica_command(struct fake_replica *, size_t argc, const char *const *argv);
/* SLAVEOF, XSLAVEOF, KEEPER SETSTATE or CONFIG SET. */
bool fake_replica_is_change(size_t argc, const char *const *argv);
bool fake_replica_is_priority(size_t argc, const char *const *argv); /* CONFIG SET slave-priority */

#endif
