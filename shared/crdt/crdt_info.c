/* crdt_info.c - see crdt_info.h. One pass over the lines; a line belongs to the Redis or to the peer block of its index. */
#include "shared/crdt/crdt_info.h"
#include "shared/base/str.h"
#include "shared/crdt/info_lines.h"

#include <inttypes.h>
#include <limits.h>
#include <strings.h>

#include "shared/base/banned.h"

#define NEVER_UP_AFTER_S 315360000 /* a "duration" over ten years is the unix time: never up */
#define INDEX_DIGITS_MAX 6

/* What a line of a peer block means. Lines that are not listed (dbid, replid) are not needed. */
enum peer_key {
    PEER_HOST,
    PEER_PORT,
    PEER_GID,
    PEER_LINK_STATUS,
    PEER_LAST_IO,
    PEER_SYNC,
    PEER_OFFSET,
    PEER_BACKSTREAM,
    PEER_PROXY_TYPE,
    PEER_PROXY_SERVERS,
    PEER_PROXY_SERVER,
    PEER_PROXY_PARAMS,
    PEER_DOWN_SINCE,
    PEER_KEYS_COUNT
};

/* clang-format off */
#define KEY(key, text) [key] = { text, sizeof(text) - 1 }
static const struct { const char *text; size_t length; } peer_keys[PEER_KEYS_COUNT] = {
    KEY(PEER_HOST, "host"),
    KEY(PEER_PORT, "port"),
    KEY(PEER_GID, "gid"),
    KEY(PEER_LINK_STATUS, "link_status"),
    KEY(PEER_LAST_IO, "last_io_seconds_ago"),
    KEY(PEER_SYNC, "sync_in_progress"),
    KEY(PEER_OFFSET, "repl_offset"),
    KEY(PEER_BACKSTREAM, "backstream_vc"),
    KEY(PEER_PROXY_TYPE, "proxy_type"),
    KEY(PEER_PROXY_SERVERS, "proxy_servers"),
    KEY(PEER_PROXY_SERVER, "proxy_server"),
    KEY(PEER_PROXY_PARAMS, "proxy_params"),
    KEY(PEER_DOWN_SINCE, "link_down_since_seconds"),
};
#undef KEY
/* clang-format on */

/* The fields without which a block is not understood, as bits 1 << enum peer_key of 'seen'. */
struct block {
    uint32_t index;
    unsigned seen;
};

struct scan {
    struct crdt_info *info;
    struct block blocks[CRDT_PEERS_MAX]; /* beside info->peers */
    uint32_t last_dropped; /* index of the last block without a place; UINT32_MAX none */
    bool has_gid_line;
    struct crdt_text ovc;
};

static int64_t number_or(const struct info_line *line, int64_t otherwise)
{
    int64_t value = otherwise;
    (void)text_to_i64(line->value, line->value_length, INT64_MIN, INT64_MAX, &value);
    return value;
}

static int gid_or_zero(const struct info_line *line)
{
    int64_t value = 0;
    (void)text_to_i64(line->value, line->value_length, 0, CRDT_GID_MAX, &value);
    return (int)value;
}

static bool is_one(const struct info_line *line)
{
    return INFO_IS(line->value, line->value_length, "1");
}

/* Finds or opens the block of 'index'; NULL when there is no place left. */
static struct crdt_peer *peer_of_index(struct scan *scan, uint32_t index, size_t *ret_at)
{
    struct crdt_info *info = scan->info;
    for (size_t i = info->peer_count; i-- > 0;) { /* nearly always the last one */
        if (scan->blocks[i].index == index) {
            *ret_at = i;
            return &info->peers[i];
        }
    }
    if (info->peer_count == CRDT_PEERS_MAX) {
        info->peers_dropped += scan->last_dropped != index;
        scan->last_dropped = index;
        return NULL;
    }
    *ret_at = info->peer_count++;
    scan->blocks[*ret_at] = (struct block){ .index = index };
    info->peers[*ret_at] = (struct crdt_peer){
        .last_io_s = INT64_MIN, .repl_offset = INT64_MIN, .down_since_s = -1, .problem = ""
    };
    return &info->peers[*ret_at];
}

static void set_host(struct crdt_peer *peer, const struct info_line *line)
{
    peer->addr.host[0] = '\0';
    if (line->value_length > ADDR_HOST_MAX) {
        peer->problem = "the host is longer than 63 bytes";
        return;
    }
    for (size_t i = 0; i < line->value_length; i++) {
        unsigned char c = (unsigned char)line->value[i];
        if (c <= ' ' || c == 0x7F) {
            peer->problem = "the host contains a blank or a control character";
            return;
        }
    }
    memcpy(peer->addr.host, line->value, line->value_length);
    peer->addr.host[line->value_length] = '\0';
}

static void set_port(struct crdt_peer *peer, const struct info_line *line)
{
    int64_t port = 0;
    if (!text_to_i64(line->value, line->value_length, INT_MIN, INT_MAX, &port)) {
        peer->problem = "the port is not a number";
    }
    peer->addr.port = (int)port;
}

static void set_gid(struct crdt_peer *peer, const struct info_line *line)
{
    peer->gid = gid_or_zero(line);
    if (peer->gid < CRDT_GID_MIN) {
        peer->problem = "the gid is not a number in 1..15";
    }
}

static void set_status(struct crdt_peer *peer, const struct info_line *line)
{
    peer->is_up = INFO_IS(line->value, line->value_length, "up");
    if (!peer->is_up && !INFO_IS(line->value, line->value_length, "down")) {
        peer->problem = "the link status is neither 'up' nor 'down'";
    }
}

static void set_down_since(struct crdt_peer *peer, const struct info_line *line)
{
    int64_t seconds = number_or(line, -1);
    peer->never_up = seconds > NEVER_UP_AFTER_S;
    peer->down_since_s = peer->never_up || seconds < 0 ? -1 : seconds;
}

static enum crdt_proxy_kind proxy_kind(const struct info_line *line)
{
    static const char type[] = "XPIPE-PROXY";
    bool is_known = line->value_length == sizeof(type) - 1 &&
                    strncasecmp(line->value, type, sizeof(type) - 1) == 0;
    return is_known ? CRDT_PROXIED : CRDT_PROXY_UNKNOWN;
}

static struct crdt_text text_of(const struct info_line *line)
{
    return (struct crdt_text){ line->value, line->value_length };
}

static void set_peer_field(struct crdt_peer *peer, enum peer_key key, const struct info_line *line)
{
    switch (key) {
    case PEER_HOST:
        set_host(peer, line);
        break;
    case PEER_PORT:
        set_port(peer, line);
        break;
    case PEER_GID:
        set_gid(peer, line);
        break;
    case PEER_LINK_STATUS:
        set_status(peer, line);
        break;
    case PEER_LAST_IO:
        peer->last_io_s = number_or(line, INT64_MIN);
        break;
    case PEER_SYNC:
        peer->is_syncing = is_one(line);
        break;
    case PEER_OFFSET:
        peer->repl_offset = number_or(line, INT64_MIN);
        break;
    case PEER_BACKSTREAM:
        peer->owes_backstream = true;
        break;
    case PEER_PROXY_TYPE:
        peer->proxy = proxy_kind(line);
        break;
    case PEER_PROXY_SERVERS:
        peer->proxy_servers = text_of(line);
        break;
    case PEER_PROXY_SERVER:
        peer->proxy_server = text_of(line);
        break;
    case PEER_PROXY_PARAMS:
        peer->proxy_params = text_of(line);
        break;
    case PEER_DOWN_SINCE:
        set_down_since(peer, line);
        break;
    case PEER_KEYS_COUNT:
        break;
    }
}

static enum peer_key peer_key_of(const char *text, size_t length)
{
    for (int key = 0; key < PEER_KEYS_COUNT; key++) {
        if (info_is(text, length, peer_keys[key].text, peer_keys[key].length)) {
            return (enum peer_key)key;
        }
    }
    return PEER_KEYS_COUNT;
}

/* "peerN_key" without its first four letters. */
static void take_peer_line(struct scan *scan, const struct info_line *line)
{
    const char *p = line->key + 4;
    const char *end = line->key + line->key_length;
    uint32_t index = 0;
    const char *digits = p;
    for (; p < end && *p >= '0' && *p <= '9' && p - digits < INDEX_DIGITS_MAX; p++) {
        index = index * 10 + (uint32_t)(*p - '0');
    }
    if (p == digits || p == end || *p != '_') {
        return;
    }
    enum peer_key key = peer_key_of(p + 1, (size_t)(end - p - 1));
    size_t at = 0;
    struct crdt_peer *peer = key == PEER_KEYS_COUNT ? NULL : peer_of_index(scan, index, &at);
    if (peer) {
        scan->blocks[at].seen |= 1U << key;
        set_peer_field(peer, key, line);
    }
}

static void take_own_line(struct scan *scan, const struct info_line *line)
{
    struct crdt_info *info = scan->info;
    if (INFO_IS(line->key, line->key_length, "gid")) {
        scan->has_gid_line = true;
        info->own_gid = gid_or_zero(line);
    } else if (INFO_IS(line->key, line->key_length, "ovc")) {
        scan->ovc = text_of(line);
    } else if (INFO_IS(line->key, line->key_length, "backstreaming")) {
        info->backstreaming = is_one(line);
    } else if (INFO_IS(line->key, line->key_length, "connected_slaves")) {
        info->connected_slaves = number_or(line, -1);
    } else if (INFO_IS(line->key, line->key_length, "master_repl_offset")) {
        info->master_repl_offset = number_or(line, -1);
    }
}

static bool to_u64(const char *from, const char *to, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (from == to) {
        return false;
    }
    for (; from < to; from++) {
        if (*from < '0' || *from > '9' || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*from - '0'), &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

/* The value of 'gid' in a vector clock "1:20;2:7"; 0 when it is not there. */
static uint64_t clock_of(const struct crdt_text *clock, int gid)
{
    if (!clock->bytes) {
        return 0;
    }
    const char *end = clock->bytes + clock->length;
    for (const char *p = clock->bytes; p < end;) {
        const char *stop = memchr(p, ';', (size_t)(end - p));
        stop = stop ? stop : end;
        const char *colon = memchr(p, ':', (size_t)(stop - p));
        uint64_t unit = 0;
        uint64_t value = 0;
        if (colon && to_u64(p, colon, &unit) && unit == (uint64_t)gid &&
            to_u64(colon + 1, stop, &value)) {
            return value;
        }
        p = stop + 1;
    }
    return 0;
}

static void judge_block(const struct crdt_info *info, const struct block *block,
                        struct crdt_peer *peer)
{
    if (peer->problem[0] != '\0') {
        return;
    }
    if (!(block->seen & 1U << PEER_GID)) {
        peer->problem = "the gid is missing";
    } else if (!(block->seen & 1U << PEER_HOST) || peer->addr.host[0] == '\0') {
        peer->problem = "the host is missing";
    } else if (!(block->seen & 1U << PEER_PORT)) {
        peer->problem = "the port is missing";
    } else if (!(block->seen & 1U << PEER_LINK_STATUS)) {
        peer->problem = "the link status is missing";
    } else if (peer->gid == info->own_gid) {
        peer->problem = "the gid is the Redis' own";
    }
}

static void flag_duplicates(struct crdt_info *info)
{
    struct crdt_peer *first[CRDT_GID_MAX + 1] = { 0 };
    for (size_t i = 0; i < info->peer_count; i++) {
        struct crdt_peer *peer = &info->peers[i];
        struct crdt_peer **known = &first[peer->gid];
        if (peer->gid != 0 && *known) {
            info->has_duplicate_gid = true;
            (*known)->problem = "the gid appears more than once";
            peer->problem = (*known)->problem;
        }
        *known = peer;
    }
}

static void copy_info(const struct crdt_info *from, struct crdt_info *to)
{
    size_t used = offsetof(struct crdt_info, peers) + from->peer_count * sizeof(from->peers[0]);
    memcpy(to, from, used);
}

int crdt_info_parse(const char *text, size_t length, struct crdt_info *ret_info, struct xp_err *err)
{
    struct crdt_info info; /* not cleared: its peers are, one by one */
    memset(&info, 0, offsetof(struct crdt_info, peers));
    info.connected_slaves = -1;
    info.master_repl_offset = -1;
    struct scan scan = { .info = &info, .last_dropped = UINT32_MAX };

    struct info_lines lines = { text, text ? text + length : NULL };
    struct info_line line;
    while (info_lines_next(&lines, &line)) {
        if (line.key_length > 5 && memcmp(line.key, "peer", 4) == 0) {
            take_peer_line(&scan, &line);
        } else {
            take_own_line(&scan, &line);
        }
    }
    if (!scan.has_gid_line) {
        return xp_fail(err, XP_IO, "the reply to CRDT.INFO replication has no gid line");
    }
    for (size_t i = 0; i < info.peer_count; i++) {
        judge_block(&info, &scan.blocks[i], &info.peers[i]);
    }
    flag_duplicates(&info);
    info.own_clock = clock_of(&scan.ovc, info.own_gid);
    copy_info(&info, ret_info);
    return XP_OK;
}

const struct crdt_peer *crdt_info_peer(const struct crdt_info *info, int gid)
{
    for (size_t i = 0; i < info->peer_count; i++) {
        if (info->peers[i].gid == gid) {
            return &info->peers[i];
        }
    }
    return NULL;
}

int crdt_peer_route(const struct crdt_peer *peer, struct route *ret_route, struct xp_err *err)
{
    if (peer->proxy != CRDT_PROXIED) {
        return xp_fail(err, XP_INVALID, "peer of gid %d has no proxy of a known type", peer->gid);
    }
    const struct crdt_text *servers = &peer->proxy_servers;
    const struct crdt_text *params = &peer->proxy_params;
    int rc = route_parse_parts(servers->bytes, servers->length, params->bytes, params->length,
                               ret_route, err);
    return rc ? xp_wrap(err, "peer of gid %d", peer->gid) : XP_OK;
}

struct addr crdt_peer_proxy_in_use(const struct crdt_peer *peer)
{
    struct route_member member;
    const struct crdt_text *text = &peer->proxy_server;
    if (!text->bytes || route_member_parse(text->bytes, text->length, &member, NULL)) {
        return (struct addr){ 0 };
    }
    return member.addr;
}
