/* tree_face.c - see tree_face.h. */
#include "meta/keepers/tree_face.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct tree_duty *tree_face_of(struct duty *duty)
{
    (void)duty;
    return NULL;
}

bool tree_face_pulls_from(const struct tree_duty *duty, const char *dc)
{
    (void)dc;
    xp_check(duty);
    return false;
}

void tree_face_upstream_told(struct tree_duty *duty, const char *dc, const struct addr *head,
                             int64_t offset)
{
    (void)dc;
    (void)head;
    (void)offset;
    xp_check(duty);
}

json_t *tree_face_current_json(const struct tree_duty *duty)
{
    xp_check(duty);
    return NULL;
}
