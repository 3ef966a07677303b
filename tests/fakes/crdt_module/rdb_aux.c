/* rdb_aux.c - see rdb_aux.h. */
#include "tests/fakes/crdt_module/rdb_aux.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fakes/crdt_module/feed.h"
#include "tests/fakes/crdt_module/standin_link.h"
#include "tests/fakes/crdt_module/peer_table.h"
#include "tests/fakes/crdt_module/state_file.h"

#include "shared/base/banned.h"

enum { AUX_VERSION = 1, SERVERS_TEXT_MAX = PROXY_MAX * (HOST_MAX + 20) };

static bool config_wins;

static void save_text(struct rm_io *io, const char *text)
{
    RM_SaveStringBuffer(io, text, strlen(text));
}

static bool load_text(struct rm_io *io, char *to, size_t size)
{
    size_t len = 0;
    char *text = RM_LoadStringBuffer(io, &len);
    bool ok = text && text_copy(to, size, text, len);

    RM_Free(text);
    return ok;
}

static void save_peer(struct rm_io *io, int gid, const struct peer *p)
{
    char servers[SERVERS_TEXT_MAX];

    RM_SaveUnsigned(io, (uint64_t)gid);
    save_text(io, p->words.host);
    RM_SaveUnsigned(io, (uint64_t)(uint32_t)p->words.port);
    words_servers_text(&p->words, servers, sizeof servers);
    save_text(io, p->words.proxied ? servers : "");
    RM_SaveUnsigned(io, p->words.has_params);
    save_text(io, p->words.has_params ? p->words.params : "");
    RM_SaveUnsigned(io, p->has_replid);
    save_text(io, p->has_replid ? p->replid : "");
    RM_SaveUnsigned(io, (uint64_t)p->offset);
}

static void aux_save(struct rm_io *io, int when)
{
    int count = 0;
    int gid = 0;

    (void)when;
    while (peer_nth(count, &gid)) {
        count++;
    }
    RM_SaveUnsigned(io, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        const struct peer *p = peer_nth(i, &gid);
        save_peer(io, gid, p);
    }
    feed_save(io);
}

struct loaded {
    int gid;
    struct peer_words words;
    bool has_replid;
    char replid[REPLID_LEN + 1];
    int64_t offset;
};

static bool load_peer(struct rm_io *io, struct loaded *l)
{
    char servers[SERVERS_TEXT_MAX];

    *l = (struct loaded){ .words = { .backstream = NO_BACKSTREAM } };
    l->gid = (int)RM_LoadUnsigned(io);
    if (!load_text(io, l->words.host, sizeof l->words.host)) {
        return false;
    }
    l->words.port = (int)(uint32_t)RM_LoadUnsigned(io);
    if (!load_text(io, servers, sizeof servers)) {
        return false;
    }
    l->words.proxied = servers[0] != '\0';
    l->words.has_params = RM_LoadUnsigned(io) != 0;
    if (!load_text(io, l->words.params, sizeof l->words.params)) {
        return false;
    }
    l->has_replid = RM_LoadUnsigned(io) != 0;
    if (!load_text(io, l->replid, sizeof l->replid)) {
        return false;
    }
    l->offset = (int64_t)RM_LoadUnsigned(io);
    return peer_get(l->gid) && (!l->words.proxied || words_parse_servers(servers, &l->words));
}

static void take_position(struct peer *p, bool has_replid, const char *replid, int64_t offset)
{
    p->has_replid = has_replid;
    text_copy(p->replid, sizeof p->replid, replid, strlen(replid));
    p->offset = offset;
}

static int aux_load(struct rm_io *io, int version, int when)
{
    uint64_t count;
    bool keep = config_wins && standin.is_master;

    (void)when;
    if (version != AUX_VERSION) {
        return RM_ERR;
    }
    if (!keep) {
        peer_remove_all();
    }
    count = RM_LoadUnsigned(io);
    if (count > GID_MAX) {
        return RM_ERR;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct loaded l;
        if (!load_peer(io, &l)) {
            return RM_ERR;
        }
        if (!keep) {
            peer_store(l.gid, &l.words);
            link_thread_start(l.gid);
        }
        if (peer_get(l.gid)->used) {
            take_position(peer_get(l.gid), l.has_replid, l.replid, l.offset);
        }
    }
    if (!standin.is_master && state_file_save() != 0) {
        RM_Log(NULL, "warning", "standin: the state file could not be written after the full sync");
    }
    return feed_load(io) ? RM_OK : RM_ERR;
}

/* The stand-in stores no keys of its type; these are never called. */
static void *no_load(struct rm_io *io, int version)
{
    (void)io;
    (void)version;
    return NULL;
}

static void no_save(struct rm_io *io, void *value)
{
    (void)io;
    (void)value;
}

/* STANDIN.POSITION gid replid offset, from the master. */
static int cmd_position(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    long long gid, offset;
    struct peer *p;

    if (argc != 4) {
        return RM_WrongArity(ctx);
    }
    if (!(RM_GetContextFlags(ctx) & (RM_CTX_REPLICATED | RM_CTX_LOADING))) {
        return RM_ReplyWithError(ctx, "ERR STANDIN this command belongs to the replication stream");
    }
    p = RM_StringToLongLong(argv[1], &gid) == RM_OK ? peer_get((int)gid) : NULL;
    if (!p || RM_StringToLongLong(argv[3], &offset) != RM_OK) {
        return RM_ReplyWithError(ctx, "ERR value is not an integer or out of range");
    }
    take_position(p, true, arg_text(argv[2]), offset);
    p->last_io_ms = now_mono_ms();
    return RM_ReplyWithSimpleString(ctx, "OK");
}

int rdb_aux_start(struct rm_ctx *ctx, bool restarted)
{
    struct rm_type_methods methods = {
        .version = 2,
        .rdb_load = no_load,
        .rdb_save = no_save,
        .aux_load = aux_load,
        .aux_save = aux_save,
        .aux_save_triggers = RM_AUX_BEFORE_RDB,
    };

    config_wins = restarted;
    if (RM_CreateCommand(ctx, "standin.position", cmd_position, "write allow-loading allow-stale",
                         0, 0, 0) != RM_OK) {
        return RM_ERR;
    }
    return RM_CreateDataType(ctx, "crdtpeers", AUX_VERSION, &methods) ? RM_OK : RM_ERR;
}
