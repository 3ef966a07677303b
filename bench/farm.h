/* farm.h - the parts of redis_farm: thousands of CRDT Redis, or of Redis and keepers of one-way shards, answered by one process,
 * scripted.
 *
 *   redis_farm.c     options, start and end
 *   farm_server.c    sockets: accepts, reads commands, writes answers, late or never
 *   farm_commands.c  what a command is answered with, and the table of faults
 *   farm_control.c   the control port and script files
 *   farm_report.c    counts and times
 *   farm_clients.c   who polls and commands which instance
 *   farm_redis.c     one instance; the peers of a CRDT Redis
 *   farm_node.c      a plain Redis or a keeper
 *   farm_tree.c      one-way shards: who follows whom, what breaks
 *   farm_latches.c   their keepers in ZooKeeper
 * One listening socket serves all: it is bound to every address of the interface lo, and the address a client
 * connected to says which instance is meant. So an instance costs no descriptor until somebody connects.
 * Owner of everything: the loop. */
#ifndef BENCH_FARM_H
#define BENCH_FARM_H

#include "bench/farm_redis.h"
#include "shared/net/loop.h"

#define FARM_COUNT_MAX   50000
#define FARM_WORDS_MAX   16
#define FARM_COMMAND_MAX 4096 /* bytes of one command; a longer one closes the connection */

#define FARM_CLIENT_NAME_MAX 64
#define FARM_NO_CLIENT       0 /* the client that gave no name */

enum farm_command {
    FARM_ROLE,
    FARM_INFO,
    FARM_CRDT_INFO,
    FARM_PEEROF,
    FARM_SLAVEOF,
    FARM_GETSTATE,
    FARM_SETSTATE,
    FARM_CONFIG,
    FARM_CLIENT,
    FARM_AUTH,
    FARM_PING,
    FARM_OTHER,
    FARM_COMMANDS
};

struct farm_report {
    uint64_t commands[FARM_COMMANDS];
    uint64_t unanswered; /* came to a mute instance; not among 'commands' */
    uint64_t accepted;
    uint64_t connected;
    uint64_t bad_commands;
    /* instances whose CRDT.INFO (ROLE, if it is none of CRDT) was answered since the last reset */
    size_t polled;
    int64_t all_polled_at_us; /* 0: not yet */
    uint64_t broken;
    uint64_t corrected;
    uint64_t needless; /* commands to an instance that was right already */
    /* SETSTATE ACTIVE repeated to a keeper that was right: its route cannot be read */
    uint64_t refreshed;
    uint64_t foreign; /* of a client that is not the instance's owner (farm_clients.c) */
    /* that a control plane must never send: farm_redis_is_harmful(), farm_tree_told() */
    uint64_t harmful;
    uint32_t *times_ms; /* from the break to the command that mended it; owned */
    size_t times_count;
    size_t times_cap;
};

struct farm {
    struct loop *loop;
    /* instances: shards x (Redis + keepers); number + index x shards is the place in 'redises' */
    size_t count;
    size_t shards;      /* CRDT: the same as count */
    size_t redis_count; /* of a shard; 0: CRDT Redis, one a shard */
    size_t keeper_count;
    int net; /* second octet of the own addresses; of one-way shards those of the first of each, the next one follows */
    int port;
    int gid;
    uint64_t random;
    mono_ms turn_at;     /* of the loop, with something to read */
    mono_ms turn_before; /* the one before: what is read now came after it */
    struct farm_redis *redises;
    struct farm_report report;
    struct farm_server *server;
    struct farm_control *control;
    struct farm_clients *clients;
    struct farm_tree *tree;       /* NULL: CRDT */
    struct farm_latches *latches; /* NULL: no keeper was registered */
};

/* xorshift64: the same seed gives the same run. */
static inline uint64_t farm_random(struct farm *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

static inline struct farm_redis *farm_at(const struct farm *f, size_t number, size_t index)
{
    return &f->redises[index * f->shards + number];
}

static inline size_t farm_per_shard(const struct farm *f)
{
    return f->tree ? f->redis_count + f->keeper_count : 1;
}

/* ---- farm_commands.c ---- */

/* What happens instead of an ordinary answer. */
enum farm_effect {
    FARM_ANSWER,  /* 'out' as it is */
    FARM_SILENCE, /* nothing, now and later */
    FARM_CLOSE,   /* send 'out', then close */
    FARM_STREAM,  /* send 'out', then 'stream_bytes' of filler */
};

struct farm_answer {
    struct str *out;
    int64_t stream_bytes;
};

struct farm_call {
    struct farm_redis *redis;
    uint8_t *client; /* of the connection: FARM_NO_CLIENT until it gives a name */
    size_t argc;
    char *const *argv;
};

/* Answers one command, the faults of the instance included. */
enum farm_effect farm_answer(struct farm *, const struct farm_call *,
                             struct farm_answer *ret_answer);
/* Index of the fault with that name, 0 for "none"; SIZE_MAX unknown. */
size_t farm_fault_of(const char *name);
const char *farm_fault_names(void); /* "none, mute, ..." */

/* ---- farm_server.c ---- */

/* Errors: XP_IO (port taken, no interface lo). */
int farm_server_start(struct farm *, struct xp_err *err) XP_MUST_CHECK;
void farm_server_stop(struct farm *);
/* Closes the connections of one instance, or of all (NULL). */
void farm_server_drop(struct farm *, const struct farm_redis *);

/* ---- farm_control.c ---- */

/* Listens on 127.0.0.1:port; one command a line, one line of answer. */
int farm_control_start(struct farm *, int port, struct xp_err *err) XP_MUST_CHECK;
void farm_control_stop(struct farm *);
/* Runs one line; the answer, without line end, goes to 'out'. */
void farm_control_run(struct farm *, char *line, struct str *out);
/* Every line of a file, '#' starts a comment. The first refused one is the error. */
int farm_control_run_file(struct farm *, const char *path, struct xp_err *err) XP_MUST_CHECK;

/* ---- farm_report.c ---- */

void farm_report_poll(struct farm *, struct farm_redis *);
void farm_report_corrected(struct farm *, int64_t took_ms);
void farm_report_reset(struct farm *); /* also who was polled; what is wrong stays wrong */
void farm_report_json(const struct farm *, struct str *out);
/* "p50_ms":..,"p99_ms":..,"max_ms":..; sorts the times in place. */
void farm_report_times(uint32_t *times_ms, size_t count, struct str *out);

/* ---- farm_clients.c ---- */

enum farm_outcome { FARM_CORRECTED, FARM_NEEDLESS, FARM_NOT_MENDED, FARM_REFRESHED };

struct farm_peerof {
    int64_t at_us;
    int64_t took_ms;   /* since the instance went wrong; 0: it was right */
    int64_t waited_ms; /* the most it can have waited to be read */
    uint32_t number;
    uint8_t client;
    bool is_foreign;
    enum farm_outcome outcome;
};

void farm_clients_start(struct farm *);
void farm_clients_stop(struct farm *);
/* False: the name is empty, too long or odd, or there are too many. */
bool farm_client_named(struct farm *, struct farm_redis *, const char *name, uint8_t *ret_client);
void farm_client_polled(struct farm *, struct farm_redis *, uint8_t client);
void farm_client_commanded(struct farm *, const struct farm_redis *, uint8_t client,
                           enum farm_outcome, int64_t took_ms);
/* From now on every instance that this client polled last waits for a poll of another one. False: unknown name. */
bool farm_client_lost(struct farm *, const char *name);
void farm_clients_reset(struct farm *); /* counts and gaps; owners, and what was commanded, stay */
void farm_clients_json(const struct farm *, struct str *out);
void farm_gaps_json(const struct farm *, struct str *out);
void farm_lost_json(const struct farm *, struct str *out);
/* What was commanded, from that number on; as much as fits a line. */
void farm_peerofs_json(const struct farm *, uint64_t from, struct str *out);

/* ---- farm_tree.c ---- */

void farm_tree_start(struct farm *);
void farm_tree_stop(struct farm *);
/* Every shard pulls from its instance in that net; each is as it should be, links and all. 'spec' without gid. */
void farm_tree_give(struct farm *, const struct farm_peer_spec *);
/* False: not this one, its shard is wrong already or was just mended. */
bool farm_tree_break(struct farm *, struct farm_redis *, enum farm_spoil);
/* The head of the shard, a keeper, is killed and leaves ZooKeeper: the next living one is wanted in its place. False: the
 * shard rests, or has no other keeper. */
bool farm_tree_kill_head(struct farm *, size_t number);
/* A killed keeper is started anew, and the last one in the election. False: it runs. */
bool farm_tree_revive(struct farm *, struct farm_redis *);
/* A command to a node of a shard was answered; harmful is one that promotes, goes direct where there is a route, or spoils
 * what was right. */
void farm_tree_told(struct farm *, const struct farm_call *, const struct farm_order *);

/* ---- farm_latches.c ---- */

/* Registers every keeper in ZooKeeper: ephemeral nodes /<ns>/keepers/repl_<first_shard_id + number>/_c_<uuid>-latch-<seq>, in the
 * order of the shard. Sessions are few, and more than one: ZooKeeper writes all nodes of an ended one in one record. */
int farm_latches_start(struct farm *, const char *hosts, const char *zk_namespace,
                       int64_t first_shard_id, struct xp_err *err) XP_MUST_CHECK;
void farm_latches_stop(struct farm *);
void farm_latches_leave(struct farm *, const struct farm_redis *);
void farm_latches_enter(struct farm *, const struct farm_redis *);
void farm_latches_json(const struct farm *, struct str *out);

#endif
