/* tree_face.h - the calls of the API and of app.c to the duties of one-way shards (tree_duty.h), while parts of those are not in the
 * tree yet (container_calls.c, keeper_report.c, sentinel_monitors.c): app.c has no maker for them, so no shard has such a
 * duty. Goes away with the maker: each name becomes the one of tree_duty.h. */
#ifndef META_KEEPERS_TREE_FACE_H
#define META_KEEPERS_TREE_FACE_H

#include "meta/keepers/tree_duty.h"

struct tree_duty *tree_face_of(struct duty *); /* NULL */
/* Never called: there is no duty to call them with. */
bool tree_face_pulls_from(const struct tree_duty *, const char *dc);
void tree_face_upstream_told(struct tree_duty *, const char *dc, const struct addr *head,
                             int64_t offset);
json_t *tree_face_current_json(const struct tree_duty *);

#endif
