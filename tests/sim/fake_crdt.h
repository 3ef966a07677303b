/* fake_crdt.h - a CRDT Redis as a model, behind fake_rconn's handler: ROLE, INFO server, CRDT.INFO, PEEROF with the
 * rules 1 to 3 of crdt-redis.md 2.3, CONFIG REWRITE.
 *
 * Inputs that damage a real server abort the test. The test changes the fields of a model at any time. Links are up
 * one second after they were set, or eleven after a restart. Thread: one. */
#ifndef TESTS_SIM_FAKE_CRDT_H
#define TESTS_SIM_FAKE_CRDT_H

#include "shared/crdt/peerof.h"
#include "tests/sim/fake_rconn.h"

#define FAKE_CRDT_LINES_MAX 4096

struct fake_crdt_peer {
    bool is_set;
    struct addr addr;
    char *servers; /* NULL: direct; owned */
    char *params;  /* NULL: none; owned */
    struct addr in_use;
    mono_ms up_at; /* MONO_FOREVER: never */
};

/* what it does with PEEROF */
enum fake_crdt_trick {
    FAKE_CRDT_HONEST,
    FAKE_CRDT_REFUSES,  /* -ERR */
    FAKE_CRDT_PRETENDS, /* +OK and nothing */
    FAKE_CRDT_SWALLOWS, /* carried out, no answer */
    FAKE_CRDT_HANGS,    /* not carried out, no answer */
};

struct fake_crdt {
    struct addr addr;
    bool is_master;
    mono_ms role_since;
    int gid;
    const char *version; /* NULL: the line is missing */
    int run;             /* counts restarts */
    mono_ms started_at;
    bool is_lazy; /* waits after a restart before it connects to peers */
    bool is_backstreaming;
    bool is_loading;  /* refuses CLIENT, as Redis 4.0 does */
    bool has_unsaved; /* changes that CONFIG REWRITE must save */
    enum fake_crdt_trick trick;
    bool demote_after_info; /* becomes a slave right after it answered CRDT.INFO */
    struct fake_crdt_peer peers[CRDT_GID_MAX + 1];
    /* counts */
    int peerofs; /* that reached it */
    int rewrites;
    int infos;
    int servers;       /* INFO server */
    mono_ms peerof_at; /* the last one */
    char last[512];    /* the last one, as text */
    int names;         /* CLIENT SETNAME that were answered OK */
};

void fake_crdt_init(struct fake_crdt *, const struct addr *addr, int gid, bool is_master);
void fake_crdt_done(struct fake_crdt *);
void fake_crdt_set_role(struct fake_crdt *, bool is_master);
void fake_crdt_restart(struct fake_crdt *); /* a new process with the saved peers */
/* Sets a peer without a command; servers and params NULL for direct. */
void fake_crdt_put(struct fake_crdt *, int gid, const struct addr *addr, const char *servers,
                   const char *params);
void fake_crdt_remove(struct fake_crdt *, int gid); /* the same: nothing there any more */
struct rreply *fake_crdt_command(struct fake_crdt *, size_t argc, const char *const *argv);

#endif
