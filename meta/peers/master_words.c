/* master_words.c - see master_words.h.
 * A row of an answer is [cluster, shard, gid, ip, port], known masters only. */
#include "meta/peers/master_words.h"

#include "shared/base/mem.h"
#include "shared/model/dc_meta.h"
#include "shared/net/url.h"

#include "shared/base/banned.h"

static struct metric calls_ok =
    METRIC_COUNTER_INIT("xpipe_meta_peer_calls_total", "result=\"ok\"",
                        "Conversations with the metaservers of other DCs about masters.");
static struct metric calls_failed =
    METRIC_COUNTER_INIT("xpipe_meta_peer_calls_total", "result=\"failed\"",
                        "Conversations with the metaservers of other DCs about masters.");

static bool gid_fits(int64_t gid)
{
    return gid >= INT32_MIN && gid <= INT32_MAX; /* which ones are good is judged by peer_decide */
}

static bool read_row(const json_t *row, struct dc_row *ret_row)
{
    const char *cluster = json_string_value(json_array_get(row, 0));
    const char *shard = json_string_value(json_array_get(row, 1));
    const json_t *gid = json_array_get(row, 2);
    const char *host = json_string_value(json_array_get(row, 3));
    json_int_t port = json_integer_value(json_array_get(row, 4));
    if (!cluster || !shard || !json_is_integer(gid) || !gid_fits(json_integer_value(gid)) ||
        port < 1 || port > 65535) {
        return false;
    }
    *ret_row = (struct dc_row){
        .cluster = cluster,
        .shard = shard,
        .answer = { .addr = addr_of(host, (int)port), .number = json_integer_value(gid) },
    };
    return !addr_is_none(&ret_row->answer.addr);
}

static bool read_single(const char *text, size_t length, struct dc_answer *ret_answer)
{
    struct redis_meta meta = { 0 };
    struct xp_err ignored;
    bool is_known = redis_meta_parse(text, length, &meta, &ignored) == 0 && gid_fits(meta.gid);
    if (is_known) {
        *ret_answer = (struct dc_answer){ .addr = meta.addr, .number = meta.gid };
    }
    redis_meta_done(&meta);
    return is_known;
}

static void single_target(enum dc_lane lane, const char *own_dc, const struct dc_topic *topic,
                          struct str *target)
{
    if (lane == DC_ASK) {
        str_puts(target, "/api/meta/getpeermaster/");
    } else {
        str_puts(target, "/api/meta/upstreampeerchange/");
        url_add_encoded(target, own_dc);
        str_putc(target, '/');
    }
    url_add_encoded(target, topic->name.cluster);
    str_putc(target, '/');
    url_add_encoded(target, topic->name.shard);
}

const struct dc_words master_words = {
    .subject = "masters",
    .batch_path = { [DC_ASK] = "/api/meta/v2/peermasters", [DC_TELL] = "/api/meta/v2/peerchanges" },
    .rows = "masters",
    .single_method = { [DC_ASK] = "GET", [DC_TELL] = "PUT" },
    .single_target = single_target,
    .read_row = read_row,
    .read_single = read_single,
    .ok = &calls_ok,
    .failed = &calls_failed,
};
