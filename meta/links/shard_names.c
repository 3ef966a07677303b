/* shard_names.c - see shard_names.h. */
#include "meta/links/shard_names.h"

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

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
    if (count > SHARD_NAMES_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "shards: %zu entries, at most %d are allowed", count,
                       SHARD_NAMES_MAX);
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
