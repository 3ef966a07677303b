/* container_wire.c - see container_wire.h. */
#include "meta/keepers/container_wire.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

/* ---- requests ---- */

static char *trans_text(const struct container_call *call)
{
    json_t *trans =
        json_pack("{s:I, s:I, s:I, s:o}", "clusterDbId", (json_int_t)call->cluster_id, "shardDbId",
                  (json_int_t)call->shard_id, "replId", (json_int_t)call->shard_id, "keeperMeta",
                  keeper_meta_to_json(&call->keeper));
    xp_check(trans != NULL);
    char *text = json_dumps(trans, JSON_COMPACT);
    xp_check(text != NULL);
    json_decref(trans);
    return text;
}

static char *shard_url(const struct container_call *call, int64_t cluster_id, int64_t shard_id)
{
    return xasprintf("http://%s/keepers/clusters/%lld/shards/%lld", ADDR_TEXT(&call->container),
                     (long long)cluster_id, (long long)shard_id);
}

struct container_request container_request_of(const struct container_call *call,
                                              enum container_step step,
                                              const struct container_holder *holder)
{
    struct container_request r = { .method = "DELETE" };
    switch (step) {
    case CONTAINER_LOOK:
        r.method = "GET";
        r.url = xasprintf("http://%s/keepers/port/%d", ADDR_TEXT(&call->container),
                          call->keeper.addr.port);
        break;
    case CONTAINER_CLEAR: /* the ids of the path are ignored, the body counts */
        r.url = shard_url(call, holder->cluster_id, holder->shard_id);
        r.body = xstrdup(holder->trans);
        break;
    case CONTAINER_START:
        r.method = "POST";
        r.url = shard_url(call, call->cluster_id, call->shard_id);
        r.body = trans_text(call);
        break;
    case CONTAINER_DROP:
        r.url = shard_url(call, call->cluster_id, call->shard_id);
        r.body = trans_text(call);
        break;
    }
    return r;
}

void container_request_done(struct container_request *r)
{
    free(r->url);
    free(r->body);
    *r = (struct container_request){ 0 };
}

/* ---- answers ---- */

struct error_body {
    char *type;
    char *message;
    char *plain; /* of containers that failed before they knew why */
};

static const struct jfield error_fields[] = {
    { .name = "errorType", .type = JF_STRING, .offset = offsetof(struct error_body, type) },
    { .name = "errorMessage", .type = JF_STRING, .offset = offsetof(struct error_body, message) },
    { .name = "message", .type = JF_STRING, .offset = offsetof(struct error_body, plain) },
    { 0 },
};

/* An error that says nothing that we can read stays empty: the status counts. */
static struct error_body read_error(const struct http_reply *reply)
{
    struct error_body body = { 0 };
    json_auto_t *json = NULL;
    if (jd_parse(reply->body, reply->length, &json, NULL) < 0 ||
        jd_object(json, error_fields, &body, NULL) < 0) {
        jd_done(error_fields, &body);
    }
    return body;
}

static bool is_done_already(enum container_step step, const char *code)
{
    if (step == CONTAINER_START) {
        return text_eq(code, "KEEPER_ALREADY_EXIST") || text_eq(code, "KEEPER_ALREADY_STARTED");
    }
    return step != CONTAINER_LOOK &&
           (text_eq(code, "KEEPER_NOT_EXIST") || text_eq(code, "KEEPER_ALREADY_DELETED"));
}

/* A container that did it says nothing, or some JSON that names no error. Anything else comes from somebody else: a proxy's
 * page, a wrong address, a body cut short. */
static bool is_consent(const struct http_reply *reply)
{
    json_auto_t *json = NULL;
    if (strspn(reply->body, " \t\r\n") == reply->length) {
        return true;
    }
    return jd_parse(reply->body, reply->length, &json, NULL) == 0 &&
           !json_object_get(json, "errorType");
}

int container_answer(const struct container_call *call, enum container_step step,
                     const struct http_reply *reply, struct xp_err *err)
{
    static const char *const deeds[] = { [CONTAINER_LOOK] = "looking at the port of",
                                         [CONTAINER_CLEAR] = "clearing the port of",
                                         [CONTAINER_START] = "starting",
                                         [CONTAINER_DROP] = "removing" };
    bool is_fine = reply->status >= 200 && reply->status < 300;
    if (is_fine && (step == CONTAINER_LOOK || is_consent(reply))) {
        return 0;
    }
    struct error_body body = read_error(reply);
    if (is_fine && !body.type) {
        jd_done(error_fields, &body);
        return xp_fail(err, XP_IO,
                       "container %s, %s keeper %s of shard %lld: %d with a body that is no answer "
                       "of a container: %.60s",
                       ADDR_TEXT(&call->container), deeds[step], ADDR_TEXT(&call->keeper.addr),
                       (long long)call->shard_id, reply->status, reply->body);
    }
    const char *code = reply->header ? reply->header : body.type;
    const char *words = body.message ? body.message : body.plain;
    int rc = 0;
    if (!is_done_already(step, code)) {
        rc =
            xp_fail(err, XP_REMOTE, "container %s, %s keeper %s of shard %lld: %d %s %.120s",
                    ADDR_TEXT(&call->container), deeds[step], ADDR_TEXT(&call->keeper.addr),
                    (long long)call->shard_id, reply->status, code ? code : "", words ? words : "");
    }
    jd_done(error_fields, &body);
    return rc;
}

struct trans_ids { /* null is 0 */
    int64_t cluster_id;
    int64_t shard_id;
    int64_t repl_id;
};

static const struct jfield trans_fields[] = {
    { .name = "clusterDbId", .type = JF_ID, .offset = offsetof(struct trans_ids, cluster_id) },
    { .name = "shardDbId", .type = JF_ID, .offset = offsetof(struct trans_ids, shard_id) },
    { .name = "replId", .type = JF_ID, .offset = offsetof(struct trans_ids, repl_id) },
    { 0 },
};

int container_holder_parse(const struct container_call *call, const struct http_reply *reply,
                           struct container_holder *ret_holder, struct xp_err *err)
{
    int rc = container_answer(call, CONTAINER_LOOK, reply, err);
    if (rc < 0) {
        return rc;
    }
    *ret_holder = (struct container_holder){ 0 };
    struct trans_ids ids = { 0 };
    json_auto_t *json = NULL;
    if (reply->length == 0) {
        return 0;
    }
    rc = jd_parse(reply->body, reply->length, &json, err);
    if (rc == 0 && json_is_null(json)) {
        return 0;
    }
    rc = rc < 0 ? rc : jd_object(json, trans_fields, &ids, err);
    if (rc < 0) {
        (void)xp_wrap(err, "container %s, port %d", ADDR_TEXT(&call->container),
                      call->keeper.addr.port);
        return XP_IO;
    }
    ret_holder->cluster_id = ids.cluster_id;
    ret_holder->shard_id = ids.repl_id ? ids.repl_id : ids.shard_id;
    ret_holder->trans = xstrdup(reply->body);
    return 0;
}

void container_holder_done(struct container_holder *holder)
{
    free(holder->trans);
    *holder = (struct container_holder){ 0 };
}

/* ---- the list ---- */

void container_listing_done(struct container_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        keeper_meta_done(&listing->items[i].keeper);
    }
    free(listing->items);
    *listing = (struct container_listing){ 0 };
}

static int read_listed(const json_t *value, struct container_listed *ret_listed, struct xp_err *err)
{
    struct trans_ids ids = { 0 };
    int rc = jd_object(value, trans_fields, &ids, err);
    if (rc == 0) {
        rc = keeper_meta_from_json(json_object_get(value, "keeperMeta"), &ret_listed->keeper, err);
    }
    ret_listed->cluster_id = ids.cluster_id;
    ret_listed->shard_id = ids.repl_id ? ids.repl_id : ids.shard_id;
    if (rc == 0 && ret_listed->shard_id == 0) {
        rc = xp_fail(err, XP_IO, "no replId and no shardDbId");
    }
    if (rc == 0 &&
        (addr_is_none(&ret_listed->keeper.addr) || !addr_is_numeric(&ret_listed->keeper.addr))) {
        rc = xp_fail(err, XP_IO, "the keeper has no IP address and port");
    }
    return rc;
}

int container_listing_parse(const char *text, size_t length, struct container_listing *ret_listing,
                            struct xp_err *err)
{
    json_auto_t *json = NULL;
    struct container_listing listing = { 0 };
    if (jd_parse(text, length, &json, err) < 0) {
        (void)xp_wrap(err, "list of keepers");
        return XP_IO;
    }
    size_t count = json_array_size(json);
    if (!json_is_array(json) || count > CONTAINER_LISTING_MAX) {
        return xp_fail(err, XP_IO, "list of keepers: not an array of at most %d",
                       CONTAINER_LISTING_MAX);
    }
    listing.items = xcalloc(count + 1, sizeof(*listing.items));
    for (size_t i = 0; i < count; i++) {
        listing.count = i + 1;
        if (read_listed(json_array_get(json, i), &listing.items[i], err) < 0) {
            (void)xp_wrap(err, "list of keepers: [%zu]", i);
            container_listing_done(&listing);
            return XP_IO;
        }
    }
    *ret_listing = listing;
    return 0;
}
