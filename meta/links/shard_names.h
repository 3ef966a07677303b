/* shard_names.h - a list of shards by name, as requests between metaservers carry it: [["cluster","shard"],...].
 * Thread: any; one at a time. */
#ifndef META_LINKS_SHARD_NAMES_H
#define META_LINKS_SHARD_NAMES_H

#include <jansson.h>

#include "shared/base/err.h"

#define SHARD_NAMES_MAX 5000 /* of one request */

struct shard_name {
    char *cluster;
    char *shard;
};
struct shard_names {
    struct shard_name *items;
    size_t count;
};

/* Text from outside: XP_INVALID names the element, XP_TOO_LARGE above SHARD_NAMES_MAX. Free with shard_names_done. */
int shard_names_parse(const json_t *array, struct shard_names *ret_names,
                      struct xp_err *err) XP_MUST_CHECK;
void shard_names_done(struct shard_names *); /* frees the content */

#endif
