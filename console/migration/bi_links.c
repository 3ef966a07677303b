/* bi_links.c - see bi_links.h. */
#include "console/migration/bi_links.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

enum { PEERS_MAX = 64, WARNINGS_MAX = 64 };

/* ---- the answer of a metaserver ---- */

static const struct jfield actual_fields[] = {
    { .name = "linkStatus", .type = JF_STRING, .offset = offsetof(struct bi_peer_actual, status) },
    { .name = "lastIoSecondsAgo",
      .type = JF_INT64,
      .offset = offsetof(struct bi_peer_actual, last_io_s) },
    { .name = "replOffset", .type = JF_INT64, .offset = offsetof(struct bi_peer_actual, offset) },
    { 0 },
};
static const struct jfield peer_fields[] = {
    { .name = "dc", .type = JF_STRING, .offset = offsetof(struct bi_peer, dc) },
    { .name = "actual",
      .type = JF_OBJECT,
      .offset = offsetof(struct bi_peer, actual),
      .sub = actual_fields },
    { 0 },
};
static const struct jfield master_fields[] = {
    { .name = "ip", .type = JF_STRING, .offset = offsetof(struct bi_told_master, ip) },
    { 0 },
};
static const struct jfield told_fields[] = {
    { .name = "currentMaster",
      .type = JF_OBJECT,
      .offset = offsetof(struct bi_told, master),
      .sub = master_fields },
    { .name = "masterReplOffset", .type = JF_INT64, .offset = offsetof(struct bi_told, offset) },
    { .name = "peers",
      .type = JF_ARRAY,
      .offset = offsetof(struct bi_told, peers),
      .sub = peer_fields,
      .elem_size = sizeof(struct bi_peer),
      .max_count = PEERS_MAX },
    { 0 },
};

int bi_told_from_json(const json_t *json, struct bi_told *ret, struct xp_err *err)
{
    struct bi_told told = { .offset = -1 };
    int rc = jd_object(json, told_fields, &told, err);
    if (rc != 0) {
        bi_told_done(&told);
        return rc;
    }
    *ret = told;
    return 0;
}

void bi_told_done(struct bi_told *told)
{
    jd_done(told_fields, told);
}

/* ---- one link ---- */

struct link_sum { /* what one DC receives of another, over all shards */
    int64_t shards;
    int64_t down;
    int64_t unknown; /* nobody told */
    int64_t lag_bytes;
    int64_t lags; /* shards whose lag is known */
    int64_t last_io_s;
    const char *first_down; /* shard */
};

static const struct bi_seen *seen_of(const struct bi_links_facts *f, size_t dc, size_t shard)
{
    return &f->seen[shard * f->dc_count + dc];
}

static const struct bi_peer *peer_of(const struct bi_told *told, const char *dc)
{
    for (size_t i = 0; i < told->peers.count; i++) {
        if (text_eq_nocase(told->peers.items[i].dc, dc)) {
            return &told->peers.items[i];
        }
    }
    return NULL;
}

static void add_lag(struct link_sum *sum, const struct bi_peer *peer, const struct bi_seen *source)
{
    const struct bi_told *told = source->told;
    if (!told || told->offset < 0 || peer->actual.offset < 0) {
        return;
    }
    int64_t lag = told->offset > peer->actual.offset ? told->offset - peer->actual.offset : 0;
    sum->lag_bytes = lag > sum->lag_bytes ? lag : sum->lag_bytes;
    sum->lags++;
}

static void add_shard(const struct bi_links_facts *f, size_t dc, size_t peer_dc, size_t shard,
                      struct link_sum *sum)
{
    const struct bi_seen *seen = seen_of(f, dc, shard);
    sum->shards++;
    if (!seen->told) {
        sum->unknown++;
        return;
    }
    const struct bi_peer *peer = peer_of(seen->told, f->dcs[peer_dc].name);
    if (!peer || !text_eq(peer->actual.status, "up")) {
        sum->first_down = sum->down++ == 0 ? f->shards[shard] : sum->first_down;
    }
    if (peer && peer->actual.status) {
        int64_t last_io_s = peer->actual.last_io_s;
        add_lag(sum, peer, seen_of(f, peer_dc, shard));
        sum->last_io_s = last_io_s > sum->last_io_s ? last_io_s : sum->last_io_s;
    }
}

static struct link_sum sum_of(const struct bi_links_facts *f, size_t dc, size_t peer_dc)
{
    struct link_sum sum = { .last_io_s = -1 };
    for (size_t i = 0; i < f->shard_count; i++) {
        add_shard(f, dc, peer_dc, i, &sum);
    }
    return sum;
}

static json_t *link_json(const struct bi_links_facts *f, size_t dc, size_t peer_dc,
                         const struct link_sum *sum)
{
    bool is_lag_known = sum->lags == sum->shards && sum->shards > 0;
    const char *status = sum->down > 0 ? "down" : sum->unknown > 0 ? "unknown" : "up";
    return json_pack("{s:o, s:o, s:b, s:s, s:I, s:I, s:I, s:o, s:o}", "dc",
                     jd_text(f->dcs[dc].name), "peer", jd_text(f->dcs[peer_dc].name), "excluded",
                     f->dcs[peer_dc].is_excluded, "status", status, "shards",
                     (json_int_t)sum->shards, "down", (json_int_t)sum->down, "unknown",
                     (json_int_t)sum->unknown, "lagBytes",
                     is_lag_known ? json_integer(sum->lag_bytes) : json_null(), "lastIoSecondsAgo",
                     sum->last_io_s < 0 ? json_null() : json_integer(sum->last_io_s));
}

/* ---- warnings ---- */

static void warn(json_t *warnings, const char *code, const char *dc, int64_t count, const char *fmt,
                 ...) XP_PRINTF(5, 6);
static void warn(json_t *warnings, const char *code, const char *dc, int64_t count, const char *fmt,
                 ...)
{
    char text[240];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (json_array_size(warnings) < WARNINGS_MAX) {
        (void)json_array_append_new(warnings, json_pack("{s:s, s:o, s:I, s:o}", "code", code, "dc",
                                                        jd_text(dc), "count", (json_int_t)count,
                                                        "text", jd_text(text)));
    }
}

/* What is wrong with a DC itself. */
static void judge_dc(const struct bi_links_facts *f, size_t dc, json_t *warnings)
{
    const char *name = f->dcs[dc].name;
    const char *why = NULL; /* of the first one that did not answer */
    const char *shard = NULL;
    int64_t silent = 0;
    int64_t headless = 0;
    for (size_t i = 0; i < f->shard_count; i++) {
        const struct bi_seen *seen = seen_of(f, dc, i);
        if (!seen->told) {
            why = silent++ == 0 ? seen->why : why;
        } else if (!seen->told->master.ip) {
            shard = headless++ == 0 ? f->shards[i] : shard;
        }
    }
    if (silent > 0) {
        warn(warnings, "L10", name, silent, "dc %.60s: no answer: %.150s", name,
             why ? why : "was not asked");
    }
    if (headless > 0) {
        warn(warnings, "L16", name, headless, "dc %.60s: shard %.100s has no master", name, shard);
    }
}

static void judge_link(const struct bi_links_facts *f, size_t dc, size_t peer_dc,
                       const struct link_sum *sum, json_t *warnings)
{
    const char *name = f->dcs[dc].name;
    const char *peer = f->dcs[peer_dc].name;
    if (sum->down == 0) {
        return;
    }
    if (f->dcs[peer_dc].is_excluded) {
        warn(warnings, "L14", name, sum->down,
             "dc %.60s does not receive from %.60s, shard %.60s: writes made there may be missing",
             name, peer, sum->first_down);
    } else {
        warn(warnings, "L12", name, sum->down, "dc %.60s does not receive from %.60s, shard %.60s",
             name, peer, sum->first_down);
    }
}

json_t *bi_links_decide(const struct bi_links_facts *f)
{
    json_t *links = json_array();
    json_t *warnings = json_array();
    for (size_t dc = 0; dc < f->dc_count; dc++) {
        if (f->dcs[dc].is_excluded) {
            continue;
        }
        judge_dc(f, dc, warnings);
        for (size_t peer = 0; peer < f->dc_count; peer++) {
            if (peer == dc) {
                continue;
            }
            struct link_sum sum = sum_of(f, dc, peer);
            (void)json_array_append_new(links, link_json(f, dc, peer, &sum));
            judge_link(f, dc, peer, &sum, warnings);
        }
    }
    return json_pack("{s:o, s:o}", "links", links, "warnings", warnings);
}
