/* redis_meta_fuzz.c - RedisMeta and KeeperMeta bodies of other metaservers, and of keepers in ZooKeeper. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/model/dc_meta.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(json_t *json)
{
    if (!json) {
        abort();
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct redis_meta redis;
    struct keeper_meta keeper;
    struct xp_err err;
    if (redis_meta_parse((const char *)bytes, size, &redis, &err) == 0) {
        check(redis_meta_to_json(&redis.addr, redis.gid));
        redis_meta_done(&redis);
    }
    if (keeper_meta_parse((const char *)bytes, size, &keeper, &err) == 0) {
        check(keeper_meta_to_json(&keeper));
        keeper_meta_done(&keeper);
    }
    return 0;
}
