/* switch_kept.h - the own settings of Redis that were held and are not "the master" of a fence: strays of a backup DC, and masters
 * that were fenced beside it. A part of the record of a shard (switch_record.h). Values only. Thread: any. */
#ifndef META_PRIMARY_SWITCH_KEPT_H
#define META_PRIMARY_SWITCH_KEPT_H

#include "shared/base/addr.h"
#include "shared/switch/switch_words.h"

#define SWITCH_KEPT_MAX 8 /* a ninth gets Redis' defaults back */

struct switch_kept {
    struct addr redis;
    struct fence_saved saved; /* is_known */
};

struct switch_kept_list {
    struct switch_kept items[SWITCH_KEPT_MAX];
    size_t count;
};

/* NULL: none is kept of it. */
const struct switch_kept *switch_kept_find(const struct switch_kept_list *,
                                           const struct addr *redis);
/* False: there is no room. What is there already stays: the first look was before any fence. */
bool switch_kept_add(struct switch_kept_list *, const struct addr *redis,
                     const struct fence_saved *saved);
void switch_kept_remove(struct switch_kept_list *, const struct addr *redis);

#endif
