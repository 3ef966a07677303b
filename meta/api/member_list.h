/* member_list.h - the other metaservers of this DC, for threads that may not ask the loop.
 * The loop writes it when ZooKeeper's list changes; one mutex, held for a copy. */
#ifndef META_API_MEMBER_LIST_H
#define META_API_MEMBER_LIST_H

#include <stddef.h>

#include "shared/base/addr.h"

#define MEMBERS_MAX 64 /* asked or told at once; a DC has a handful */

struct member_list;

struct member_list *member_list_new(void);
void member_list_free(struct member_list *);
void member_list_set(struct member_list *, const struct addr *members, size_t count);
/* Copies into ret_members (MEMBERS_MAX of them); returns how many. Any thread. */
size_t member_list_get(struct member_list *, struct addr *ret_members);

#endif
