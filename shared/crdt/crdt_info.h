/* crdt_info.h - `CRDT.INFO replication` and `INFO server` as structs (crdt-redis.md 3 and 4).
 *
 * Each peer is parsed on its own: a missing or odd field spoils that peer only ('problem'). Keyed by gid; the index in
 * the text means nothing. Tolerates LF line ends, a missing final one, blanks around keys and values, unknown keys, gaps,
 * any order. Bytes from outside: fuzzed by tests/fuzz/crdt_info_fuzz.c. No allocation per field: texts are copied into the
 * struct, which is freed as a whole. Thread: any. */
#ifndef SHARED_CRDT_CRDT_INFO_H
#define SHARED_CRDT_CRDT_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"
#include "shared/base/err.h"
#include "shared/proxy/route.h"

#define CRDT_GID_MIN 1
#define CRDT_GID_MAX 15
#define CRDT_PEERS_MAX 32 /* more than 15 can only be garbage; what is over is counted in 'peers_dropped' */

enum crdt_proxy_kind {
    CRDT_DIRECT,
    CRDT_PROXIED,       /* XPIPE-PROXY, and the route texts parsed */
    CRDT_PROXY_UNKNOWN, /* another type, or texts that do not parse (quotes...): different from anything wanted */
};

struct crdt_peer {
    int gid;                   /* 0 when missing or not a number in 0..15 */
    struct addr addr;
    bool is_up;
    bool is_syncing;
    int64_t last_io_s;         /* -1 no connection; INT64_MIN missing */
    int64_t repl_offset;       /* -1 none; INT64_MIN missing */
    int64_t down_since_s;      /* -1: up, or never up in this configuration; see 'never_up' */
    bool never_up;             /* down_since over 10 years */
    bool owes_backstream;      /* peerN_backstream_vc present */
    enum crdt_proxy_kind proxy;
    struct route route;        /* first hop = proxy_servers, rest = proxy_params; when CRDT_PROXIED */
    struct addr proxy_in_use;  /* none when absent */
    bool servers_text_odd;     /* texts differ from our canonical form although sets are equal: leave alone */
    char problem[96];          /* "" or what is wrong with this peer block; then act on it never */
};

struct crdt_info {
    int own_gid;               /* 0 missing */
    bool backstreaming;
    size_t peer_count;
    struct crdt_peer peers[CRDT_PEERS_MAX];
    int peers_dropped;
    bool has_duplicate_gid;    /* both blocks are flagged in 'problem' */
    int64_t connected_slaves;  /* pullers of other DCs; -1 missing */
    int64_t master_repl_offset;
    uint64_t own_clock;        /* own gid's value in ovc; 0 missing */
};

/* Errors: XP_IO for a text that is no CRDT.INFO reply at all (empty, no gid line). */
int crdt_info_parse(const char *text, size_t length, struct crdt_info *ret_info, struct xp_err *err) XP_MUST_CHECK;
const struct crdt_peer *crdt_info_peer(const struct crdt_info *, int gid); /* first with that gid; NULL */

struct crdt_version { int part[3]; bool present; bool odd; /* not a.b.c */ char text[24]; };
/* From the text of INFO server: xredis_crdt_version, run_id, uptime. Missing fields are empty / -1. */
struct redis_server_info {
    struct crdt_version version;
    char run_id[64];
    int64_t uptime_s;
    char redis_version[24];
};
void redis_server_info_parse(const char *text, size_t length, struct redis_server_info *ret_info);
int crdt_version_cmp(const struct crdt_version *, int a, int b, int c); /* <0, 0, >0; absent or odd is the lowest */
bool crdt_version_has_peerof(const struct crdt_version *); /* >= 1.0.4, x-pipe's floor */
bool crdt_version_has_proxy(const struct crdt_version *);  /* >= 1.0.15 */
bool crdt_version_may_answer_twice(const struct crdt_version *); /* 1.0.13 and 1.0.14: reconnect after PEEROF */

#endif
