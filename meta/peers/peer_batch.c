/* peer_batch.c - see peer_batch.h. Answer to ask: {"masters":[[cluster, shard, gid, ip, port],...]}, known ones only. */
#include "meta/peers/peer_batch.h"

#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/dc_meta.h"
#include "shared/model/json_decode.h"
#include "shared/net/http_client.h"
#include "shared/net/url.h"

#include "shared/base/banned.h"

#define REPLY_MAX_BYTES (8U * 1024 * 1024)
#define SINGLES_MAX_MS                                                                             \
    5000 /* of one job: a slow peer must not hold up a stop; the rest is asked again */
#define SINGLE_REPLY_MAX_BYTES (64U * 1024)

static int call(struct peer_batch *b, const char *method, const char *path, const char *body,
                struct http_reply *ret_reply)
{
    AUTO_FREE char *url = xasprintf("%s%s", b->base_url, path);
    struct http_call request = {
        .method = method,
        .url = url,
        .body = body,
        .body_length = body ? strlen(body) : 0,
        .headers = { body ? "Content-Type: application/json" : NULL },
        .connect_timeout_ms = b->connect_timeout_ms,
        .timeout_ms = b->timeout_ms,
        .max_reply_bytes = b->single ? SINGLE_REPLY_MAX_BYTES : REPLY_MAX_BYTES,
        .retries = 1,
        .retry_delay_ms = 5,
    };
    return http_call(&request, ret_reply, &b->err);
}

static char *batch_body(const struct peer_batch *b)
{
    json_t *shards = json_array();
    for (size_t i = 0; i < b->names.count; i++) {
        const struct shard_name *n = &b->names.items[i];
        (void)json_array_append_new(shards, json_pack("[s,s]", n->cluster, n->shard));
    }
    json_t *body = json_pack("{s:s,s:o}", "dc", b->own_dc, "shards", shards);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

/* One row of the answer; rows that are odd, repeated or were not asked for are skipped: they spoil themselves only. */
static void take_row(struct peer_batch *b, struct map *index, const json_t *row)
{
    const char *cluster = json_string_value(json_array_get(row, 0));
    const char *shard = json_string_value(json_array_get(row, 1));
    const char *host = json_string_value(json_array_get(row, 3));
    const json_t *gid_json = json_array_get(row, 2);
    json_int_t gid = json_integer_value(gid_json);
    json_int_t port = json_integer_value(json_array_get(row, 4));
    if (!cluster || !shard || !host || port < 1 || port > 65535 || !json_is_integer(gid_json) ||
        gid < INT32_MIN || gid > INT32_MAX) {
        return;
    }
    AUTO_FREE char *key = xasprintf("%s/%s", cluster, shard);
    struct addr addr = addr_of(host, (int)port);
    const struct shard_name *name = addr_is_none(&addr) ? NULL : map_remove(index, key);
    if (name) {
        b->told[b->told_count++] = (struct told_master){
            .name = (size_t)(name - b->names.items),
            .master = { .addr = addr, .gid = (int)gid },
        };
    }
}

int peer_batch_take_answer(struct peer_batch *b, const char *text, size_t length)
{
    json_t *json = NULL;
    int rc = jd_parse(text, length, &json, &b->err);
    if (rc != 0) {
        return xp_wrap(&b->err, "answer of %s", b->base_url);
    }
    CLEANUP(map_done) struct map index = MAP_INIT(MAP_TEXT);
    for (size_t i = 0; i < b->names.count; i++) {
        AUTO_FREE char *key =
            xasprintf("%s/%s", b->names.items[i].cluster, b->names.items[i].shard);
        (void)map_put(&index, key, &b->names.items[i]);
    }
    b->told = xcalloc(b->names.count, sizeof(*b->told));
    const json_t *masters = json_object_get(json, "masters");
    if (!json_is_array(masters)) {
        rc = xp_fail(&b->err, XP_IO, "answer of %s has no array 'masters'", b->base_url);
    }
    size_t i;
    json_t *row;
    json_array_foreach (masters, i, row) {
        take_row(b, &index, row);
    }
    json_decref(json);
    return rc;
}

static int run_batch(struct peer_batch *b)
{
    AUTO_FREE char *body = batch_body(b);
    CLEANUP(http_reply_done) struct http_reply reply = { 0 };
    bool asks = b->kind == PEER_BATCH_ASK;
    const char *path = asks ? "/api/meta/v2/peermasters" : "/api/meta/v2/peerchanges";
    int rc = call(b, "POST", path, body, &reply);
    if (rc != 0) {
        return rc;
    }
    if (reply.status == 404) {
        b->is_java = true;
        return 0;
    }
    if (reply.status != 200) {
        return xp_fail(&b->err, XP_REMOTE, "%s%s answered %d: %.100s", b->base_url, path,
                       reply.status, reply.body);
    }
    b->done_count = b->names.count;
    return asks ? peer_batch_take_answer(b, reply.body, reply.length) : 0;
}

static char *single_path(const struct peer_batch *b, const struct shard_name *name)
{
    struct str path = STR_INIT(4096);
    if (b->kind == PEER_BATCH_ASK) {
        str_puts(&path, "/api/meta/getpeermaster/");
    } else {
        str_puts(&path, "/api/meta/upstreampeerchange/");
        url_add_encoded(&path, b->own_dc);
        str_putc(&path, '/');
    }
    url_add_encoded(&path, name->cluster);
    str_putc(&path, '/');
    url_add_encoded(&path, name->shard);
    return str_take(&path);
}

static void take_single(struct peer_batch *b, size_t index, const struct http_reply *reply)
{
    struct redis_meta meta = { 0 };
    struct xp_err ignored;
    if (redis_meta_parse(reply->body, reply->length, &meta, &ignored) == 0 &&
        meta.gid >= INT32_MIN && meta.gid <= INT32_MAX) {
        b->told[b->told_count++] = (struct told_master){
            .name = index,
            .master = { .addr = meta.addr, .gid = (int)meta.gid },
        };
    }
    redis_meta_done(&meta);
}

/* An error status concerns one shard ("unknown clusterId"); a failed connection ends the run. */
static int run_singles(struct peer_batch *b)
{
    b->told = xcalloc(b->names.count, sizeof(*b->told));
    mono_ms give_up_at = clock_mono_ms() + SINGLES_MAX_MS;
    for (size_t i = 0; i < b->names.count && clock_mono_ms() < give_up_at; i++) {
        AUTO_FREE char *path = single_path(b, &b->names.items[i]);
        CLEANUP(http_reply_done) struct http_reply reply = { 0 };
        int rc = call(b, b->kind == PEER_BATCH_ASK ? "GET" : "PUT", path, NULL, &reply);
        if (rc != 0) {
            return rc;
        }
        if (b->kind == PEER_BATCH_ASK && reply.status == 200 && reply.length > 0) {
            take_single(b, i, &reply);
        }
        b->done_count = i + 1;
    }
    return 0;
}

void peer_batch_run(struct peer_batch *b)
{
    b->rc = b->single ? run_singles(b) : run_batch(b);
}

void peer_batch_done(struct peer_batch *b)
{
    free(b->base_url);
    free(b->own_dc);
    shard_names_done(&b->names);
    free(b->told);
    b->told = NULL;
}

static int parse_name(const json_t *row, struct shard_name *ret_name, size_t index,
                      struct xp_err *err)
{
    const char *cluster = json_string_value(json_array_get(row, 0));
    const char *shard = json_string_value(json_array_get(row, 1));
    if (text_is_empty(cluster) || text_is_empty(shard)) {
        return xp_fail(err, XP_INVALID, "shards[%zu]: must be [cluster name, shard name]", index);
    }
    *ret_name = (struct shard_name){ .cluster = xstrdup(cluster), .shard = xstrdup(shard) };
    return 0;
}

int shard_names_parse(const json_t *array, struct shard_names *ret_names, struct xp_err *err)
{
    if (!json_is_array(array)) {
        return xp_fail(err, XP_INVALID, "shards: must be an array of [cluster name, shard name]");
    }
    size_t count = json_array_size(array);
    if (count > PEER_BATCH_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "shards: %zu entries, at most %d are allowed", count,
                       PEER_BATCH_MAX);
    }
    struct shard_names names = { .items = xcalloc(count, sizeof(*names.items)) };
    for (size_t i = 0; i < count; i++) {
        int rc = parse_name(json_array_get(array, i), &names.items[i], i, err);
        if (rc != 0) {
            shard_names_done(&names);
            return rc;
        }
        names.count = i + 1;
    }
    *ret_names = names;
    return 0;
}

void shard_names_done(struct shard_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].cluster);
        free(names->items[i].shard);
    }
    free(names->items);
    *names = (struct shard_names){ 0 };
}
