/* crdt_info.h - `CRDT.INFO replication` and `INFO server` as structs (crdt-redis.md 3 and 4).
 *
 * Each peer is parsed on its own: a missing or odd field spoils that peer only ('problem'). Keyed by gid; the index in
 * the text means nothing. Tolerates LF line ends, a missing final one, blanks around keys and values, unknown keys, gaps,
 * any order; of a repeated key the last one counts. Bytes from outside: fuzzed by tests/fuzz/crdt_info_fuzz.c.
 *
 * Parsed 10,000 times a second: one pass, no allocation. The proxy texts of a peer therefore stay pointers into the reply
 * and are understood on demand (crdt_peer_route). A struct crdt_info is for the stack (2.6 KiB) and lives no longer than
 * its text; what is kept between polls is a struct crdt_kept, one small block. Thread: any. */
#ifndef SHARED_CRDT_CRDT_INFO_H
#define SHARED_CRDT_CRDT_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"
#include "shared/base/err.h"
#include "shared/proxy/route.h"

#define CRDT_GID_MIN   1
#define CRDT_GID_MAX   15
#define CRDT_PEERS_MAX 16 /* 14 can be right; what is over is counted in 'peers_dropped' */

enum crdt_proxy_kind {
    CRDT_DIRECT,
    CRDT_PROXIED,       /* XPIPE-PROXY; whether the texts are sound tells crdt_peer_route */
    CRDT_PROXY_UNKNOWN, /* another type: different from anything wanted */
};

struct crdt_text { /* borrowed from the reply, or from the struct crdt_kept; not NUL-terminated */
    const char *bytes; /* NULL: the line is absent */
    size_t length;
};

struct crdt_peer {
    int gid;          /* 0 when missing or not a number in 0..15 */
    struct addr addr; /* the port is what Redis shows, which may be out of range (it accepts any) */
    bool is_up;
    bool is_syncing;
    bool never_up;        /* down_since over 10 years */
    bool owes_backstream; /* peerN_backstream_vc present */
    enum crdt_proxy_kind proxy;
    int64_t last_io_s;    /* -1 no connection; INT64_MIN missing */
    int64_t repl_offset;  /* -1 none; INT64_MIN missing */
    int64_t down_since_s; /* -1: up, or never up in this configuration; see 'never_up' */
    struct crdt_text proxy_servers;
    struct crdt_text proxy_server; /* the one in use */
    struct crdt_text proxy_params;
    /* never NULL: "" or a constant, what is wrong with this block; then act on it never */
    const char *problem;
};

struct crdt_info {
    int own_gid; /* 0: the line is there, and its value is no gid */
    bool backstreaming;
    bool has_duplicate_gid; /* both blocks are flagged in 'problem' */
    int peers_dropped;
    int64_t connected_slaves;   /* pullers of other DCs; -1 missing */
    int64_t master_repl_offset; /* of the stream to other DCs; -1 missing */
    uint64_t own_clock;         /* own gid's value in ovc; 0 missing */
    size_t peer_count;
    struct crdt_peer peers[CRDT_PEERS_MAX]; /* only peer_count of them are initialised */
};

/* Borrows 'text' for as long as ret_info is used. Errors: XP_IO for a text that is no CRDT.INFO reply at all (empty, no
 * gid line). */
int crdt_info_parse(const char *text, size_t length, struct crdt_info *ret_info,
                    struct xp_err *err) XP_MUST_CHECK;
const struct crdt_peer *crdt_info_peer(const struct crdt_info *,
                                       int gid); /* first with that gid; NULL */

/* The route of a proxied peer: first hop = proxy_servers, the rest = proxy_params. XP_INVALID: not CRDT_PROXIED, or texts
 * that no metaserver would write (quotes, repeated members, empty params): different from anything wanted. */
int crdt_peer_route(const struct crdt_peer *, struct route *ret_route,
                    struct xp_err *err) XP_MUST_CHECK;
/* The proxy of the last attempt; "none" when absent or odd. */
struct addr crdt_peer_proxy_in_use(const struct crdt_peer *);

/* What is kept of a reply until the next one: one block of about 100 + 160 * peers + proxy texts bytes. */
struct crdt_kept;
struct crdt_kept *crdt_info_keep(const struct crdt_info *); /* returns owned (crdt_kept_free) */
void crdt_kept_free(struct crdt_kept *);                    /* NULL is fine */
/* Gives it back as a struct crdt_info, whose texts point into 'kept'. Cheap: one copy of the peers. */
void crdt_kept_view(const struct crdt_kept *, struct crdt_info *ret_info);
size_t crdt_kept_bytes(const struct crdt_kept *); /* its size in memory */

struct crdt_version {
    int part[3];
    bool present;
    bool odd; /* not a.b.c */
    char text[24];
};
/* From the text of INFO server: xredis_crdt_version, run_id, uptime. Missing fields are empty / -1. */
struct redis_server_info {
    struct crdt_version version;
    char run_id[64];
    int64_t uptime_s;
    char redis_version[24];
};
void redis_server_info_parse(const char *text, size_t length, struct redis_server_info *ret_info);
int crdt_version_cmp(const struct crdt_version *, int a, int b,
                     int c); /* <0, 0, >0; absent or odd is the lowest */
bool crdt_version_has_peerof(const struct crdt_version *); /* >= 1.0.4, x-pipe's floor */
bool crdt_version_has_proxy(const struct crdt_version *);  /* >= 1.0.15 */
/* 1.0.13 and 1.0.14: reconnect after PEEROF */
bool crdt_version_may_answer_twice(const struct crdt_version *);

#endif
