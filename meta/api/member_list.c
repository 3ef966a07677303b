/* member_list.c - see member_list.h. */
#include "meta/api/member_list.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

struct member_list {
    struct mutex lock;
    struct addr members[MEMBERS_MAX] XP_GUARDED_BY_MEMBER(lock);
    size_t count XP_GUARDED_BY_MEMBER(lock);
};

struct member_list *member_list_new(void)
{
    struct member_list *list = xcalloc(1, sizeof(*list));
    mutex_init(&list->lock);
    return list;
}

void member_list_free(struct member_list *list)
{
    if (list) {
        mutex_done(&list->lock);
        free(list);
    }
}

void member_list_set(struct member_list *list, const struct addr *members, size_t count)
{
    size_t n = count < MEMBERS_MAX ? count : MEMBERS_MAX;
    mutex_lock(&list->lock);
    memcpy(list->members, members, n * sizeof(*members));
    list->count = n;
    mutex_unlock(&list->lock);
}

size_t member_list_get(struct member_list *list, struct addr *ret_members)
{
    mutex_lock(&list->lock);
    size_t n = list->count;
    memcpy(ret_members, list->members, n * sizeof(*ret_members));
    mutex_unlock(&list->lock);
    return n;
}
