/* redis_reply_fuzz.c - what a Redis sends: the same replies however the bytes are cut, each within the limit, and read as
 * every answer a metaserver waits for. Input: the size of the first piece, then the bytes of the connection. */
#include "meta/peers/shard_internal.h"
#include "shared/base/str.h"
#include "shared/crdt/peerof.h"
#include "shared/net/resp.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

#define REPLY_MAX_BYTES 4096
#define SHOWN_MAX_BYTES (1 << 20)
#define DEPTH_MAX       9 /* hiredis gives up before */

static void show(const struct rreply *reply, int depth, struct str *out)
{
    size_t length;
    const char *text = rreply_text(reply, &length);
    xp_check(depth <= DEPTH_MAX && text[length] == '\0');
    xp_check(length <= REPLY_MAX_BYTES && rreply_count(reply) <= REPLY_MAX_BYTES);
    str_printf(out, "%d %lld %zu ", (int)rreply_type(reply), (long long)rreply_integer(reply),
               length);
    str_add(out, text, length);
    for (size_t i = 0; i < rreply_count(reply); i++) {
        show(rreply_at(reply, i), depth + 1, out);
    }
    xp_check(rreply_at(reply, rreply_count(reply)) == NULL);
}

/* As ROLE, PEEROF, INFO and CRDT.INFO answers are read. */
static void read_as_answers(const struct rreply *reply)
{
    static struct crdt_info info;
    struct redis_server_info server;
    struct xp_err err;
    size_t length;
    const char *text = rreply_text(reply, &length);
    if (shard_role_of(reply) != ROLE_UNKNOWN) {
        xp_check(rreply_type(reply) == RREPLY_ARRAY && rreply_count(reply) > 0);
    }
    if (peerof_reply_of(reply) != PEEROF_REFUSED) {
        xp_check(!rreply_is_error(reply) && length >= 2 && memcmp(text, "OK", 2) == 0);
    }
    redis_server_info_parse(text, length, &server);
    if (crdt_info_parse(text, length, &info, &err) == 0) {
        xp_check(info.peer_count <= CRDT_PEERS_MAX);
    }
}

/* Everything the reader makes of the fed bytes, as text; the error code when it gave up. */
static int read_all(struct resp_reader *reader, struct str *out)
{
    for (;;) {
        struct rreply *reply = NULL;
        struct xp_err err;
        int rc = resp_reader_next(reader, &reply, &err);
        if (rc != RESP_REPLY) {
            return rc == RESP_INCOMPLETE ? 0 : rc;
        }
        show(reply, 0, out);
        read_as_answers(reply);
        rreply_free(reply);
    }
}

static int read_pieces(const char *bytes, size_t size, size_t first, struct str *out)
{
    struct resp_reader *reader = resp_reader_new(REPLY_MAX_BYTES);
    resp_reader_feed(reader, bytes, first);
    int rc = read_all(reader, out);
    if (rc == 0) {
        resp_reader_feed(reader, bytes + first, size - first);
        rc = read_all(reader, out);
    }
    resp_reader_free(reader);
    return rc;
}

/* What we write, word by word, is read back as an array of the same words. */
static void check_command(const char *bytes, size_t size)
{
    const char *const words[] = { "PEEROF", bytes };
    const size_t lengths[] = { 6, size };
    AUTO_STR struct str command = STR_INIT(SHOWN_MAX_BYTES);
    resp_command_add(&command, 2, words, lengths);
    xp_check(command.len == resp_command_size(2, words, lengths));
    struct resp_reader *reader = resp_reader_new(SHOWN_MAX_BYTES);
    struct rreply *reply = NULL;
    resp_reader_feed(reader, command.buf, command.len);
    xp_check(resp_reader_next(reader, &reply, NULL) == RESP_REPLY && resp_reader_is_idle(reader));
    size_t length;
    const char *word = rreply_text(rreply_at(reply, 1), &length);
    xp_check(rreply_count(reply) == 2 && length == size && memcmp(word, bytes, size) == 0);
    rreply_free(reply);
    resp_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t first = bytes[0];
    AUTO_FREE char *rest = xmemdup(bytes + 1, size - 1);
    size--;
    AUTO_STR struct str whole = STR_INIT(SHOWN_MAX_BYTES);
    AUTO_STR struct str cut = STR_INIT(SHOWN_MAX_BYTES);
    int rc = read_pieces(rest, size, size, &whole);
    xp_check(read_pieces(rest, size, first < size ? first : size, &cut) == rc);
    xp_check(whole.len == cut.len && memcmp(str_text(&whole), str_text(&cut), cut.len) == 0);
    check_command(rest, size);
    return 0;
}
