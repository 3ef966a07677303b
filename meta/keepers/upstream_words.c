/* upstream_words.c - see upstream_words.h. */
#include "meta/keepers/upstream_words.h"

#include "meta/keepers/upstream_row.h"
#include "shared/base/mem.h"
#include "shared/model/dc_meta.h"
#include "shared/net/url.h"

#include "shared/base/banned.h"

static struct metric calls_ok =
    METRIC_COUNTER_INIT("xpipe_meta_upstream_calls_total", "result=\"ok\"",
                        "Conversations with the metaservers of other DCs about upstreams.");
static struct metric calls_failed =
    METRIC_COUNTER_INIT("xpipe_meta_upstream_calls_total", "result=\"failed\"",
                        "Conversations with the metaservers of other DCs about upstreams.");

static bool read_row(const json_t *row, struct dc_row *ret_row)
{
    struct upstream upstream;
    if (!upstream_row_read(row, &ret_row->cluster, &ret_row->shard, &upstream)) {
        return false;
    }
    ret_row->answer = (struct dc_answer){ .addr = upstream_head(&upstream),
                                          .number = upstream.offset,
                                          .history = upstream.history };
    return !addr_is_none(&ret_row->answer.addr);
}

/* A Java metaserver answers KeeperMeta, without how far its master is. */
static bool read_single(const char *text, size_t length, struct dc_answer *ret_answer)
{
    struct keeper_meta keeper = { 0 };
    struct xp_err ignored;
    bool is_known = keeper_meta_parse(text, length, &keeper, &ignored) == 0 &&
                    upstream_addr_is_good(&keeper.addr);
    if (is_known) {
        *ret_answer = (struct dc_answer){ .addr = keeper.addr, .number = -1 };
    }
    keeper_meta_done(&keeper);
    return is_known;
}

static void add_names(const struct shard_name *name, struct str *target)
{
    url_add_encoded(target, name->cluster);
    str_putc(target, '/');
    url_add_encoded(target, name->shard);
}

static void single_target(enum dc_lane lane, const char *own_dc, const struct dc_topic *topic,
                          struct str *target)
{
    if (lane == DC_ASK) {
        str_puts(target, "/api/meta/getactivekeeper/");
        add_names(&topic->name, target);
    } else if (!addr_is_none(&topic->addr)) {
        str_puts(target, "/api/meta/upstreamchange/");
        add_names(&topic->name, target);
        str_putc(target, '/');
        url_add_encoded(target, topic->addr.host);
        str_printf(target, "/%d?dcName=", topic->addr.port);
        url_add_encoded(target, own_dc);
    }
}

const struct dc_words upstream_words = {
    .subject = "upstreams",
    .batch_path = { [DC_ASK] = "/api/meta/v2/upstreams",
                    [DC_TELL] = "/api/meta/v2/upstreamchanges" },
    .rows = "upstreams",
    .single_method = { [DC_ASK] = "GET", [DC_TELL] = "PUT" },
    .single_target = single_target,
    .read_row = read_row,
    .read_single = read_single,
    .ok = &calls_ok,
    .failed = &calls_failed,
};
