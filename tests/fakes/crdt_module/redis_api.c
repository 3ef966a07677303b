/* redis_api.c - see redis_api.h. */
#include "tests/fakes/crdt_module/redis_api.h"

#include <string.h>

#include "shared/base/banned.h"

#define REDIS_API_DEFINE(type, name, args) type(*RM_##name) args;
REDIS_API(REDIS_API_DEFINE)

typedef int look_up_fn(const char *name, void *ret_function);

const char *redis_api_load(struct rm_ctx *ctx)
{
    look_up_fn *look_up = NULL;

    memcpy(&look_up, ctx, sizeof look_up);
#define REDIS_API_LOOK_UP(type, name, args)                                                        \
    if (look_up("RedisModule_" #name, &RM_##name) != RM_OK) {                                      \
        return #name;                                                                              \
    }
    REDIS_API(REDIS_API_LOOK_UP)
    return NULL;
}
