/* switch_kept.c - see switch_kept.h. */
#include "meta/primary/switch_kept.h"

#include "shared/base/banned.h"

const struct switch_kept *switch_kept_find(const struct switch_kept_list *list,
                                           const struct addr *redis)
{
    for (size_t i = 0; i < list->count; i++) {
        if (addr_eq(&list->items[i].redis, redis)) {
            return &list->items[i];
        }
    }
    return NULL;
}

bool switch_kept_add(struct switch_kept_list *list, const struct addr *redis,
                     const struct fence_saved *saved)
{
    if (switch_kept_find(list, redis)) {
        return true;
    }
    if (list->count >= SWITCH_KEPT_MAX) {
        return false;
    }
    list->items[list->count++] = (struct switch_kept){ .redis = *redis, .saved = *saved };
    return true;
}

void switch_kept_remove(struct switch_kept_list *list, const struct addr *redis)
{
    size_t left = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (!addr_eq(&list->items[i].redis, redis)) {
            list->items[left++] = list->items[i];
        }
    }
    list->count = left;
}
