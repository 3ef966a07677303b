/* peer_table.h - the peers of this server: one slot per gid, what is configured and how its link
 * is.
 *
 * Does no I/O on sockets except cutting a link. Under the server's lock only. */
#ifndef TESTS_FAKES_CRDT_MODULE_PEER_TABLE_H
#define TESTS_FAKES_CRDT_MODULE_PEER_TABLE_H

#include "tests/fakes/crdt_module/peer_words.h"
#include "tests/fakes/crdt_module/standin.h"

enum link_phase { LINK_WAITING, LINK_CONNECTING, LINK_HANDSHAKE, LINK_SYNC, LINK_UP };

/* A state a test ordered to be shown in place of the real one. */
enum link_shown { SHOW_REAL, SHOW_UP, SHOW_DOWN, SHOW_SYNC };

struct link_override {
    enum link_shown shown;
    int64_t last_io_s;
    int64_t down_since_s; /* seconds ago; -1 = never up */
    int64_t offset;       /* -1: the real one */
};

struct peer {
    bool used;
    struct peer_words words;
    uint64_t epoch; /* grows when the link is cut; a thread that began with an older one stops */
    enum link_phase phase;
    int fd;              /* socket of the link thread, -1 none; closed by that thread only */
    int in_use;          /* index of the proxy of the last attempt */
    int64_t try_count;   /* attempts since configured or since the link was last up */
    int64_t last_io_ms;  /* monotonic */
    int64_t down_wall_s; /* time of the last loss; 0 = never up as configured */
    int64_t lazy_until_ms;
    bool owes; /* must give back data of the own gid */
    int64_t owed_clock;
    /* of before a restart or a promotion: its clock of the own gid is compared when linked */
    bool asks_clock;
    bool has_replid;
    bool follows_master; /* on a replica: nothing is known unless the master told */
    char replid[REPLID_LEN + 1];
    int64_t offset;
    bool thread_runs;
    struct link_override override;
};

/* NULL for a gid outside 1..15. */
struct peer *peer_get(int gid);
/* The n-th used peer by ascending gid, NULL past the end; its gid in ret_gid. */
struct peer *peer_nth(int n, int *ret_gid);
void peer_store(int gid, const struct peer_words *words); /* rule 3 and new peers */
void peer_remove(int gid);
void peer_remove_all(void);
void peer_cut(struct peer *p); /* link down at once */
void peer_cut_all(void);
/* The server became a master: inherited peers are connected from the next tick on. */
void peer_take_over(void);
bool peer_is_up(const struct peer *p); /* as shown */
bool peer_any_owes(void);

#endif
