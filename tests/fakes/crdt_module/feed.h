/* feed.h - what travels between DCs: string keys of database 0 as last-writer-wins registers.
 *
 * Every write of a client stamps its key with (time, own gid) and the next number of this
 * shard's clock; the "feed" is the list of keys by that number. A puller asks for the keys after
 * the number it has, gets their present value or a tombstone, and applies what is newer than its
 * own stamp (equal times: higher gid wins). Stamps never run behind one already seen, so a write
 * made after another was visible always wins. A server hands out keys that were last written in
 * its own DC, and keys of the puller's DC when the puller asks for them back. Stamps reach the
 * replicas of the DC in the replication stream (STANDIN.STAMP, STANDIN.APPLY) and in the RDB, so
 * a promoted replica continues the same feed. Not carried: expiry times, other types, other
 * databases, FLUSHALL, values over FEED_VALUE_MAX, keys beyond FEED_KEYS_MAX. Under the server's
 * lock. */
#ifndef TESTS_FAKES_CRDT_MODULE_FEED_H
#define TESTS_FAKES_CRDT_MODULE_FEED_H

#include "tests/fakes/crdt_module/standin.h"

enum {
    FEED_KEYS_MAX = 1000000,
    FEED_VALUE_MAX = 16 << 20,
    FEED_BATCH_MAX = 128,
    FEED_OP_WORDS = 5,     /* key, "set" or "del", value, stamp, gid */
    FEED_HEADER_WORDS = 3, /* clock reached, more to come (0, 1), known clock of the puller's gid */
    FEED_CLOCK_JUMP = 1000000,
};

struct feed_op {
    const char *key;
    size_t key_len;
    bool deleted;
    const char *value;
    size_t value_len;
    int64_t stamp_us;
    int gid;
};

int feed_start(struct rm_ctx *ctx);
int64_t feed_clock(void);         /* the own gid's clock: number of the last change */
void feed_jump(int64_t at_least); /* clock to max(clock, at_least) + FEED_CLOCK_JUMP */
bool feed_has_after(int64_t clock);
/* Answers a puller of 'gid': changes after 'clock'. Returns whether more is left. */
bool feed_reply(struct rm_ctx *ctx, int gid, int64_t clock, bool gives_back, int64_t known_clock);
/* Applies what a peer sent, if newer; tells the replicas. 'ctx' of a link thread or command. */
void feed_apply(struct rm_ctx *ctx, const struct feed_op *op);
bool feed_is_applying(void); /* the write under way is not a client's */

void feed_save(struct rm_io *io);
bool feed_load(struct rm_io *io);

#endif
