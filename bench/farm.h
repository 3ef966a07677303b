/* farm.h - the parts of redis_farm: thousands of CRDT Redis answered by one process, scripted.
 *
 *   redis_farm.c     options, start and end
 *   farm_server.c    sockets: accepts, reads commands, writes answers, late or never
 *   farm_commands.c  what a command is answered with, and the table of faults
 *   farm_control.c   the control port and script files
 *   farm_report.c    counts and times
 *   farm_clients.c   who polls and commands which instance
 *   farm_redis.c     one Redis
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
    size_t polled;            /* instances whose CRDT.INFO was answered since the last reset */
    int64_t all_polled_at_us; /* 0: not yet */
    uint64_t broken;
    uint64_t corrected;
    uint64_t needless;  /* PEEROF to an instance that was right already */
    uint64_t foreign;   /* PEEROF of a client that is not the instance's owner (farm_clients.c) */
    uint64_t harmful;   /* PEEROF that a control plane must never send: farm_redis_is_harmful() */
    uint32_t *times_ms; /* from the break to the PEEROF that mended it; owned */
    size_t times_count;
    size_t times_cap;
};

struct farm {
    struct loop *loop;
    size_t count;
    int net; /* second octet of the own addresses */
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
};

/* xorshift64: the same seed gives the same run. */
static inline uint64_t farm_random(struct farm *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
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

enum farm_outcome { FARM_CORRECTED, FARM_NEEDLESS, FARM_NOT_MENDED };

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

#endif
