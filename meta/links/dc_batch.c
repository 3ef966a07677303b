/* dc_batch.c - see dc_batch.h. */
#include "meta/links/dc_batch.h"

#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "shared/net/http_client.h"

#include "shared/base/banned.h"

#define REPLY_MAX_BYTES (8U * 1024 * 1024)
/* of one job: a slow peer must not hold up a stop; the rest is asked again */
#define SINGLES_MAX_MS          5000
#define SINGLE_REPLY_MAX_BYTES  (64U * 1024)
#define SINGLE_TARGET_MAX_BYTES 4096

void dc_topic_done(struct dc_topic *topic)
{
    free(topic->name.cluster);
    free(topic->name.shard);
    *topic = (struct dc_topic){ 0 };
}

static char *key_of(const char *cluster, const char *shard)
{
    return xasprintf("%s/%s", cluster, shard);
}

static int call(struct dc_batch *b, const char *method, const char *path, const char *body,
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

/* ---- a batch ---- */

static char *batch_body(const struct dc_batch *b)
{
    json_t *shards = json_array();
    for (size_t i = 0; i < b->count; i++) {
        const struct shard_name *n = &b->topics[i].name;
        (void)json_array_append_new(shards, json_pack("[s,s]", n->cluster, n->shard));
    }
    json_t *body = json_pack("{s:s,s:o}", "dc", b->own_dc, "shards", shards);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

/* Rows that are odd, repeated or were not asked for are skipped: they spoil themselves only. */
static void take_row(struct dc_batch *b, struct map *index, const json_t *json)
{
    struct dc_row row = { 0 };
    if (!b->words->read_row(json, &row)) {
        return;
    }
    AUTO_FREE char *key = key_of(row.cluster, row.shard);
    const struct dc_topic *topic = map_remove(index, key);
    if (topic) {
        b->told[b->told_count++] =
            (struct dc_told){ .topic = (size_t)(topic - b->topics), .answer = row.answer };
    }
}

static void take_rows(struct dc_batch *b, const json_t *rows)
{
    CLEANUP(map_done) struct map index = MAP_INIT(MAP_TEXT);
    for (size_t i = 0; i < b->count; i++) {
        AUTO_FREE char *key = key_of(b->topics[i].name.cluster, b->topics[i].name.shard);
        (void)map_put(&index, key, &b->topics[i]);
    }
    b->told = xcalloc(b->count, sizeof(*b->told));
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        take_row(b, &index, row);
    }
}

int dc_batch_take_answer(struct dc_batch *b, const char *text, size_t length)
{
    json_t *json = NULL;
    int rc = jd_parse(text, length, &json, &b->err);
    if (rc != 0) {
        return xp_wrap(&b->err, "answer of %s", b->base_url);
    }
    const json_t *rows = json_object_get(json, b->words->rows);
    if (json_is_array(rows)) {
        take_rows(b, rows);
    } else {
        rc = xp_fail(&b->err, XP_IO, "answer of %s has no array '%s'", b->base_url, b->words->rows);
    }
    json_decref(json);
    return rc;
}

static int run_batch(struct dc_batch *b)
{
    AUTO_FREE char *body = batch_body(b);
    CLEANUP(http_reply_done) struct http_reply reply = { 0 };
    const char *path = b->words->batch_path[b->lane];
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
    b->done_count = b->count;
    return b->lane == DC_ASK ? dc_batch_take_answer(b, reply.body, reply.length) : 0;
}

/* ---- a Java metaserver: shard by shard ---- */

/* An error status concerns this shard only ("unknown clusterId"). */
static int run_single(struct dc_batch *b, size_t index)
{
    CLEANUP(str_done) struct str target = STR_INIT(SINGLE_TARGET_MAX_BYTES);
    b->words->single_target(b->lane, b->own_dc, &b->topics[index], &target);
    if (str_text(&target)[0] == '\0') {
        return 0;
    }
    CLEANUP(http_reply_done) struct http_reply reply = { 0 };
    int rc = call(b, b->words->single_method[b->lane], str_text(&target), NULL, &reply);
    struct dc_answer answer;
    if (rc == 0 && b->lane == DC_ASK && reply.status == 200 &&
        b->words->read_single(reply.body, reply.length, &answer)) {
        b->told[b->told_count++] = (struct dc_told){ .topic = index, .answer = answer };
    }
    return rc;
}

/* A call that fails ends the run: the others would come to the same, one time limit after the other. */
static int run_singles(struct dc_batch *b)
{
    b->told = xcalloc(b->count, sizeof(*b->told));
    mono_ms give_up_at = clock_mono_ms() + SINGLES_MAX_MS;
    for (size_t i = 0; i < b->count && clock_mono_ms() < give_up_at; i++) {
        int rc = run_single(b, i);
        if (rc != 0) {
            return rc;
        }
        b->done_count = i + 1;
    }
    return 0;
}

void dc_batch_run(struct dc_batch *b)
{
    b->rc = b->single ? run_singles(b) : run_batch(b);
}

void dc_batch_done(struct dc_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        dc_topic_done(&b->topics[i]);
    }
    free(b->topics);
    free(b->base_url);
    free(b->own_dc);
    free(b->told);
    *b = (struct dc_batch){ 0 };
}
