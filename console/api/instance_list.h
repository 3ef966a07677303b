/* instance_list.h - lists of Redis addresses in request bodies: "ip:port", or {"addr","azName","master"} (console-api.md 3.6).
 * The texts are borrowed from the JSON value, which must outlive the list. Thread: any. */
#ifndef CONSOLE_API_INSTANCE_LIST_H
#define CONSOLE_API_INSTANCE_LIST_H

#include <jansson.h>

#include "console/catalog/redises.h"

#define INSTANCES_MAX_COUNT 1000

struct instances {
    struct instance_spec *items;
    size_t count;
};

/* NULL or JSON null: an empty list. XP_INVALID names the element. Owned (instances_done), also after a failure. */
int instances_decode(const json_t *list, struct instances *ret_list,
                     struct xp_err *err) XP_MUST_CHECK;
void instances_done(struct instances *);

#endif
