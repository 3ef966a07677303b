/* redis_api.c - see redis_api.h. */
#include "tests/fakes/redis_module/redis_api.h"

#include <string.h>

#include "shared/base/banned.h"

#define REDIS_API_DEFINE(type, name, args) type(*RM_##name) args;
REDIS_API(REDIS_API_DEFINE)

typedef int look_up_fn(const char *name, void *ret_function);

const char *redis_api_load(struct rm_ctx *ctx)
{
#define REDIS_API_ROW(type, name, args) { "RedisModule_" #name, &RM_##name },
    static const struct {
        const char *name;
        void *function; /* where its address goes */
    } rows[] = { REDIS_API(REDIS_API_ROW) };
    look_up_fn *look_up = NULL;

    memcpy(&look_up, ctx, sizeof look_up);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (look_up(rows[i].name, rows[i].function) != RM_OK) {
            return rows[i].name;
        }
    }
    return NULL;
}
