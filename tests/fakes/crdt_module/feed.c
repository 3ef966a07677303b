/* feed.c - see feed.h. Two dictionaries over the same entries: by key, and by number (8 bytes,
 * big endian). */
#include "tests/fakes/crdt_module/feed.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/crdt_module/upstream.h"

#include "shared/base/banned.h"

struct entry {
    int64_t number; /* of the feed; grows */
    int64_t stamp_us;
    int gid;
    bool deleted;
    size_t key_len;
    char key[];
};

static struct {
    struct rm_dict *by_key;
    struct rm_dict *by_number;
    int64_t clock;
    int64_t last_stamp_us;
    bool applying;
    bool full_told;
} feed;

struct number_key {
    uint64_t big_endian;
};

static struct number_key number_key(int64_t number)
{
    return (struct number_key){ htobe64((uint64_t)number) };
}

int64_t feed_clock(void)
{
    return feed.clock;
}

bool feed_is_applying(void)
{
    return feed.applying;
}

void feed_jump(int64_t at_least)
{
    feed.clock = (feed.clock > at_least ? feed.clock : at_least) + FEED_CLOCK_JUMP;
}

static struct entry *entry_of(const char *key, size_t len)
{
    struct number_key old;
    struct entry *e = RM_DictGetC(feed.by_key, key, len, NULL);

    if (e) {
        old = number_key(e->number);
        RM_DictDelC(feed.by_number, &old, sizeof old, NULL);
        return e;
    }
    if (RM_DictSize(feed.by_key) >= FEED_KEYS_MAX) {
        if (!feed.full_told) {
            RM_Log(NULL, "warning", "standin: %d keys are tracked; new keys stay in this DC",
                   FEED_KEYS_MAX);
            feed.full_told = true;
        }
        return NULL;
    }
    e = calloc(1, sizeof *e + len);
    if (!e) {
        abort();
    }
    memcpy(e->key, key, len);
    e->key_len = len;
    RM_DictSetC(feed.by_key, key, len, e);
    return e;
}

/* Puts the key at the end of the feed (number 0: the next one). Returns its number, 0 when it is
 * not tracked. */
static int64_t put(const struct feed_op *op, int64_t number)
{
    struct entry *e = entry_of(op->key, op->key_len);
    struct number_key key;

    if (!e) {
        return 0;
    }
    e->number = number ? number : feed.clock + 1;
    e->stamp_us = op->stamp_us;
    e->gid = op->gid;
    e->deleted = op->deleted;
    if (e->number > feed.clock) {
        feed.clock = e->number;
    }
    if (e->stamp_us > feed.last_stamp_us) {
        feed.last_stamp_us = e->stamp_us;
    }
    key = number_key(e->number);
    RM_DictSetC(feed.by_number, &key, sizeof key, e);
    return e->number;
}

/* Tells the replicas the stamp of a key; they have the value from the stream itself. */
static void tell_stamp(struct rm_ctx *ctx, const struct feed_op *op, int64_t number)
{
    RM_Replicate(ctx, "STANDIN.STAMP", "bllll", op->key, op->key_len, (long long)op->stamp_us,
                 (long long)op->gid, (long long)op->deleted, (long long)number);
}

static bool event_deletes(int type, const char *event)
{
    return type == RM_NOTIFY_EXPIRED || strcmp(event, "del") == 0 ||
           strcmp(event, "rename_from") == 0 || strcmp(event, "move_from") == 0;
}

static bool key_is_string(struct rm_ctx *ctx, struct rm_string *key)
{
    struct rm_key *k = RM_OpenKey(ctx, key, RM_READ);
    bool is_string = k && RM_KeyType(k) == RM_KEYTYPE_STRING;

    if (k) {
        RM_CloseKey(k);
    }
    return is_string;
}

static int on_key_event(struct rm_ctx *ctx, int type, const char *event, struct rm_string *key)
{
    struct feed_op op = { .deleted = event_deletes(type, event), .gid = standin.set.gid };
    int64_t number;

    if (feed.applying || !standin.is_master || RM_GetSelectedDb(ctx) != 0 ||
        (RM_GetContextFlags(ctx) & RM_CTX_LOADING) || strcmp(event, "expire") == 0 ||
        strcmp(event, "persist") == 0) {
        return RM_OK;
    }
    op.key = RM_StringPtrLen(key, &op.key_len);
    if (op.deleted ? !RM_DictGetC(feed.by_key, op.key, op.key_len, NULL)
                   : !key_is_string(ctx, key)) {
        return RM_OK; /* never told to anybody, or a type that is not carried */
    }
    op.stamp_us = now_wall_us();
    if (op.stamp_us <= feed.last_stamp_us) {
        op.stamp_us = feed.last_stamp_us + 1;
    }
    number = put(&op, 0);
    if (number) {
        tell_stamp(ctx, &op, number);
        upstream_wake();
    }
    return RM_OK;
}

static void write_value(struct rm_ctx *ctx, const struct feed_op *op)
{
    struct rm_reply *r;

    feed.applying = true;
    r = op->deleted ? RM_Call(ctx, "DEL", "b", op->key, op->key_len)
                    : RM_Call(ctx, "SET", "bb", op->key, op->key_len, op->value, op->value_len);
    feed.applying = false;
    if (r) {
        RM_FreeCallReply(r);
    }
}

void feed_apply(struct rm_ctx *ctx, const struct feed_op *op)
{
    struct entry *e = RM_DictGetC(feed.by_key, op->key, op->key_len, NULL);
    int64_t number;

    if (e && (e->stamp_us > op->stamp_us || (e->stamp_us == op->stamp_us && e->gid >= op->gid))) {
        return;
    }
    number = put(op, 0);
    if (!number) {
        return;
    }
    write_value(ctx, op);
    RM_Replicate(ctx, "STANDIN.APPLY", "bbllll", op->key, op->key_len, op->value ? op->value : "",
                 op->value_len, (long long)op->stamp_us, (long long)op->gid, (long long)op->deleted,
                 (long long)number);
}

/* STANDIN.STAMP key stamp gid deleted number; STANDIN.APPLY key value stamp gid deleted number.
 * From the master only. */
static int replicated(struct rm_ctx *ctx, struct rm_string **argv, int argc, bool with_value)
{
    int first = with_value ? 3 : 2;
    long long stamp, gid, deleted, number;
    struct feed_op op = { .value = "" };

    if (argc != first + 4) {
        return RM_WrongArity(ctx);
    }
    if (!(RM_GetContextFlags(ctx) & (RM_CTX_REPLICATED | RM_CTX_LOADING))) {
        return RM_ReplyWithError(ctx, "ERR STANDIN this command belongs to the replication stream");
    }
    if (RM_StringToLongLong(argv[first], &stamp) != RM_OK ||
        RM_StringToLongLong(argv[first + 1], &gid) != RM_OK ||
        RM_StringToLongLong(argv[first + 2], &deleted) != RM_OK ||
        RM_StringToLongLong(argv[first + 3], &number) != RM_OK) {
        return RM_ReplyWithError(ctx, "ERR value is not an integer or out of range");
    }
    op.key = RM_StringPtrLen(argv[1], &op.key_len);
    op.stamp_us = stamp;
    op.gid = (int)gid;
    op.deleted = deleted != 0;
    if (put(&op, number) && with_value) {
        op.value = RM_StringPtrLen(argv[2], &op.value_len);
        write_value(ctx, &op);
    }
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int cmd_stamp(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    return replicated(ctx, argv, argc, false);
}

static int cmd_apply(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    return replicated(ctx, argv, argc, true);
}

bool feed_has_after(int64_t clock)
{
    struct number_key key = number_key(clock);
    struct rm_dict_iter *it = RM_DictIteratorStartC(feed.by_number, ">", &key, sizeof key);
    bool found = RM_DictNextC(it, NULL, NULL) != NULL;

    RM_DictIteratorStop(it);
    return found;
}

static bool is_for(const struct entry *e, int gid, bool gives_back)
{
    return e->gid == standin.set.gid || (gives_back && e->gid == gid);
}

struct batch {
    const struct entry *entries[FEED_BATCH_MAX];
    int count;
    int64_t reached;
    bool more;
};

static void collect(struct batch *b, int gid, int64_t clock, bool gives_back)
{
    struct number_key key = number_key(clock);
    struct rm_dict_iter *it = RM_DictIteratorStartC(feed.by_number, ">", &key, sizeof key);
    void *data = NULL;

    b->reached = clock;
    while (RM_DictNextC(it, NULL, &data)) {
        const struct entry *e = data;
        if (b->count == FEED_BATCH_MAX) {
            b->more = true;
            break;
        }
        if (is_for(e, gid, gives_back)) {
            b->entries[b->count++] = e;
        }
        b->reached = e->number;
    }
    RM_DictIteratorStop(it);
    if (!b->more && feed.clock > b->reached) {
        b->reached = feed.clock;
    }
}

static void reply_op(struct rm_ctx *ctx, const struct entry *e)
{
    struct rm_string *name = RM_CreateString(ctx, e->key, e->key_len);
    struct rm_key *key = e->deleted ? NULL : RM_OpenKey(ctx, name, RM_READ);
    bool there = key && RM_KeyType(key) == RM_KEYTYPE_STRING;
    size_t len = 0;
    const char *value = there ? RM_StringDMA(key, &len, RM_READ) : "";
    const char *kind = e->deleted ? "del" : there && len <= FEED_VALUE_MAX ? "set" : "skip";

    RM_ReplyWithStringBuffer(ctx, e->key, e->key_len);
    RM_ReplyWithCString(ctx, kind);
    RM_ReplyWithStringBuffer(ctx, value, kind[0] == 's' && kind[1] == 'e' ? len : 0);
    RM_ReplyWithLongLong(ctx, e->stamp_us);
    RM_ReplyWithLongLong(ctx, e->gid);
    if (key) {
        RM_CloseKey(key);
    }
    RM_FreeString(ctx, name);
}

bool feed_reply(struct rm_ctx *ctx, int gid, int64_t clock, bool gives_back, int64_t known_clock)
{
    struct batch b = { .count = 0 };

    collect(&b, gid, clock, gives_back);
    RM_ReplyWithArray(ctx, FEED_HEADER_WORDS + (long)b.count * FEED_OP_WORDS);
    RM_ReplyWithLongLong(ctx, b.reached);
    RM_ReplyWithLongLong(ctx, b.more);
    RM_ReplyWithLongLong(ctx, known_clock);
    for (int i = 0; i < b.count; i++) {
        reply_op(ctx, b.entries[i]);
    }
    return b.more;
}

void feed_save(struct rm_io *io)
{
    struct rm_dict_iter *it = RM_DictIteratorStartC(feed.by_number, "^", NULL, 0);
    void *data = NULL;

    RM_SaveUnsigned(io, (uint64_t)feed.clock);
    RM_SaveUnsigned(io, RM_DictSize(feed.by_number));
    while (RM_DictNextC(it, NULL, &data)) {
        const struct entry *e = data;
        RM_SaveStringBuffer(io, e->key, e->key_len);
        RM_SaveUnsigned(io, (uint64_t)e->number);
        RM_SaveUnsigned(io, (uint64_t)e->stamp_us);
        RM_SaveUnsigned(io, (uint64_t)e->gid << 1 | e->deleted);
    }
    RM_DictIteratorStop(it);
}

static void forget_all(void)
{
    struct rm_dict_iter *it;
    void *data = NULL;
    struct number_key key;

    for (;;) {
        it = RM_DictIteratorStartC(feed.by_number, "^", NULL, 0);
        bool found = RM_DictNextC(it, NULL, &data) != NULL;
        RM_DictIteratorStop(it);
        if (!found) {
            break;
        }
        struct entry *e = data;
        key = number_key(e->number);
        RM_DictDelC(feed.by_number, &key, sizeof key, NULL);
        RM_DictDelC(feed.by_key, e->key, e->key_len, NULL);
        free(e);
    }
    feed.clock = 0;
}

bool feed_load(struct rm_io *io)
{
    uint64_t count;
    int64_t clock;

    forget_all();
    clock = (int64_t)RM_LoadUnsigned(io);
    count = RM_LoadUnsigned(io);
    if (count > FEED_KEYS_MAX) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct feed_op op = { .value = "" };
        char *key = RM_LoadStringBuffer(io, &op.key_len);
        int64_t number = (int64_t)RM_LoadUnsigned(io);
        op.stamp_us = (int64_t)RM_LoadUnsigned(io);
        uint64_t packed = RM_LoadUnsigned(io);
        op.gid = (int)(packed >> 1);
        op.deleted = packed & 1;
        op.key = key;
        put(&op, number);
        RM_Free(key);
    }
    feed.clock = clock > feed.clock ? clock : feed.clock;
    return true;
}

int feed_start(struct rm_ctx *ctx)
{
    feed.by_key = RM_CreateDict(NULL);
    feed.by_number = RM_CreateDict(NULL);
    if (RM_CreateCommand(ctx, "standin.stamp", cmd_stamp, "write allow-loading allow-stale", 0, 0,
                         0) != RM_OK ||
        RM_CreateCommand(ctx, "standin.apply", cmd_apply, "write allow-loading allow-stale", 0, 0,
                         0) != RM_OK) {
        return RM_ERR;
    }
    return RM_SubscribeToKeyspaceEvents(
        ctx, RM_NOTIFY_STRING | RM_NOTIFY_GENERIC | RM_NOTIFY_EXPIRED, on_key_event);
}
