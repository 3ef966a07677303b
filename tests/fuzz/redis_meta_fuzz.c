/* redis_meta_fuzz.c - RedisMeta bodies of other metaservers. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/model/dc_meta.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct redis_meta redis;
    struct xp_err err;
    if (redis_meta_parse((const char *)bytes, size, &redis, &err)) {
        return 0;
    }
    json_t *json = redis_meta_to_json(&redis.addr, redis.gid);
    if (!json) {
        abort();
    }
    json_decref(json);
    redis_meta_done(&redis);
    return 0;
}
