/* peerof.h - building and checking PEEROF commands (crdt-redis.md 2 and 11, metaserver.md 8.4).
 *
 * The last gate before the wire: some arguments kill the server, so nothing is sent that peerof_check did not pass.
 * Words are RESP arguments, one value each; proxy-params is one argument without quotes. Pure. Thread: any. */
#ifndef SHARED_CRDT_PEEROF_H
#define SHARED_CRDT_PEEROF_H

#include "shared/crdt/crdt_info.h"
#include "shared/net/rreply.h"
#include "shared/proxy/route.h"

struct peerof_target {
    int gid;
    struct addr addr;
    const struct route *route; /* borrowed; NULL = direct */
};

/* what is known of the Redis that would get the command, read in this run */
struct peerof_context {
    int own_gid;
    struct addr own_addr;
    struct crdt_version version;
    bool allow_host_names; /* default false: IP literals only */
};

/* All of 11 "Before sending PEEROF". XP_INVALID names the argument; XP_UNSUPPORTED: no CRDT Redis,
 * below 1.0.4, or a route is wanted and the version is below 1.0.15. */
int peerof_check(const struct peerof_target *, const struct peerof_context *,
                 struct xp_err *err) XP_MUST_CHECK;
int peerof_check_removal(int gid, int own_gid, struct xp_err *err) XP_MUST_CHECK;

#define PEEROF_WORDS_MAX 10
struct peerof_words {
    size_t count;
    char *word[PEEROF_WORDS_MAX]; /* owned */
};
void peerof_build(const struct peerof_target *, struct peerof_words *ret_words);
void peerof_build_removal(int gid, struct peerof_words *ret_words);
void peerof_words_done(struct peerof_words *);
/* For logs and plans: words joined by blanks, the params argument in quotes. Returns owned (free). */
char *peerof_words_text(const struct peerof_words *);

enum peerof_reply { PEEROF_OK, PEEROF_OK_ALREADY, PEEROF_OK_LAZY, PEEROF_REFUSED };
enum peerof_reply
peerof_reply_of(const struct rreply *reply); /* success = status whose first word is OK */

/* Structural comparison of 8.7. */
bool peerof_is_equal(const struct crdt_peer *actual, const struct peerof_target *wanted);
/* True when sending 'wanted' keeps the link of 'actual' (same endpoint, up, only the server list differs, the proxy in use
 * stays a member): rule 1 of crdt-redis.md 2.3, which does not rewrite the config file. */
bool peerof_keeps_link(const struct crdt_peer *actual, const struct peerof_target *wanted);
/* Checks a PEEROF of somebody else (relay; argv[0] is the command): refuses everything of crdt-redis.md 2.5, and what Redis
 * would silently ignore (unknown words, proxies without proxy-type, options given twice). Host names are allowed. */
int peerof_check_words(size_t argc, const char *const *argv, int own_gid,
                       struct xp_err *err) XP_MUST_CHECK;

#endif
