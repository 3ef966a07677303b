/* redis_meta.c - the RedisMeta of metaserver.md 4.5, alone and inside shards (see dc_meta.h). */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/meta_codec.h"

#include <string.h>

#include "shared/base/banned.h"

#define NOT_A_MASTER "0.0.0.0:0" /* what the console writes for replicas */

int meta_decode_host(const json_t *value, void *field, struct xp_err *err)
{
    const char *host = json_string_value(value);
    size_t length = json_string_length(value);
    if (!host || length == 0 || length > ADDR_HOST_MAX) {
        return xp_fail(err, XP_INVALID, "it is not a host (a text of 1..%d bytes)", ADDR_HOST_MAX);
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7F) {
            return xp_fail(err, XP_INVALID, "the host has a blank or a control character");
        }
    }
    memcpy(field, host, length);
    ((char *)field)[length] = '\0';
    return XP_OK;
}

/* An absent or empty text is how documents mark a master. */
static int decode_is_master(const json_t *value, void *field, struct xp_err *err)
{
    if (value && !json_is_string(value)) {
        return xp_fail(err, XP_INVALID, "it is not a text");
    }
    *(bool *)field = !value || json_string_length(value) == 0;
    return XP_OK;
}

#define REDIS(member) offsetof(struct redis_meta, member)
/* clang-format off */
const struct jfield meta_redis_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_STRING, .offset = REDIS(id), .max_length = 128 },
    { .name = "ip", .type = JF_CUSTOM, .offset = REDIS(addr.host), .flags = JF_REQUIRED, .decode = meta_decode_host },
    { .name = "port", .type = JF_PORT, .offset = REDIS(addr.port), .flags = JF_REQUIRED },
    { .name = "master", .type = JF_CUSTOM, .offset = REDIS(is_master), .flags = JF_SEE_ABSENT, .decode = decode_is_master },
    { .name = "gid", .type = JF_INT64, .offset = REDIS(gid) },
    { 0 },
};
/* clang-format on */

json_t *meta_number_or_null(int64_t value)
{
    return value ? json_integer(value) : json_null();
}

json_t *meta_redis_to_json(const struct redis_meta *redis)
{
    return json_pack("{s:o, s:o, s:i, s:s, s:n, s:n, s:o, s:n, s:n, s:n, s:n}", "id",
                     jd_text(redis->id), "ip", jd_text(redis->addr.host), "port", redis->addr.port,
                     "master", redis->is_master ? "" : NOT_A_MASTER, "offset", "survive", "gid",
                     meta_number_or_null(redis->gid), "sid", "gtid", "createTime", "az");
}

json_t *redis_meta_to_json(const struct addr *addr, int64_t gid)
{
    struct redis_meta redis = { .addr = *addr, .is_master = true, .gid = gid };
    return meta_redis_to_json(&redis);
}

static bool is_blank_text(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!strchr(" \t\r\n", text[i])) {
            return false;
        }
    }
    return true;
}

int meta_parse_one(const char *text, size_t length, const char *what, json_t **ret_json,
                   struct xp_err *err)
{
    if (is_blank_text(text, length)) {
        return xp_fail(err, XP_NOT_FOUND, "no %s: the body is empty", what);
    }
    json_t *json = NULL;
    int rc = jd_parse(text, length, &json, err);
    if (rc) {
        return rc;
    }
    if (json_is_null(json)) {
        json_decref(json);
        return xp_fail(err, XP_NOT_FOUND, "no %s: the body is null", what);
    }
    *ret_json = json;
    return XP_OK;
}

int redis_meta_parse(const char *text, size_t length, struct redis_meta *ret_meta,
                     struct xp_err *err)
{
    json_auto_t *json = NULL;
    int rc = meta_parse_one(text, length, "Redis", &json, err);
    if (rc) {
        return rc;
    }
    struct redis_meta redis = { 0 };
    rc = jd_object(json, meta_redis_fields, &redis, err);
    if (rc) {
        redis_meta_done(&redis);
        return rc;
    }
    *ret_meta = redis;
    return XP_OK;
}

void redis_meta_done(struct redis_meta *redis)
{
    jd_done(meta_redis_fields, redis);
    *redis = (struct redis_meta){ 0 };
}
