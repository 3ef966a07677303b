/* promote_answers.c - what the answers to a promotion's commands say (see promote_internal.h, redis_answer.h). */
#include <string.h>

#include "shared/switch/promote_internal.h"
#include "shared/switch/redis_answer.h"

#include "shared/base/banned.h"

struct promote_node promote_node_of(const struct addr *redis)
{
    return (struct promote_node){ .addr = *redis,
                                  .role = { .offset = -1 },
                                  .offset = -1,
                                  .second_offset = -1,
                                  .priority = -1,
                                  .is_read_only = true,
                                  .min_slaves = -1,
                                  .max_lag_s = -1,
                                  .backlog_bytes = -1 };
}

static void note_error(struct promote_node *n, const struct rreply *reply)
{
    if (rreply_is_error(reply)) {
        redis_answer_error(reply, n->error, sizeof(n->error));
    }
}

/* What is not told this time stays as it was. */
static int64_t told_or(int64_t number, int64_t before)
{
    return number >= 0 ? number : before;
}

static void take_replication(struct promote_node *n, const struct rreply *reply)
{
    struct redis_replication told;
    redis_answer_replication(reply, &told);
    if (told.repl_id[0]) {
        memcpy(n->repl_id, told.repl_id, sizeof(n->repl_id));
    }
    if (told.repl_id2[0]) {
        memcpy(n->repl_id2, told.repl_id2, sizeof(n->repl_id2));
    }
    n->offset = n->role.kind == ROLE_KIND_MASTER ? told.own_offset : told.followed_offset;
    n->second_offset = told.second_offset;
    n->priority = told_or(told.priority, n->priority);
    n->backlog_bytes = told.backlog_active == 0 ? 0 : told_or(told.backlog_bytes, n->backlog_bytes);
}

static void take_settings(struct promote_node *n, const struct rreply *reply)
{
    struct redis_settings told;
    redis_answer_settings(reply, &told);
    n->min_slaves = told_or(told.min_slaves, n->min_slaves);
    n->max_lag_s = told_or(told.max_lag_s, n->max_lag_s);
    n->is_read_only = told.has_read_only ? told.is_read_only : n->is_read_only;
}

void promote_take(struct promote_node *n, const struct promote_step *step,
                  const struct rreply *reply)
{
    switch (step->ask) {
    case PROMOTE_ASK_ROLE:
        redis_role_read(reply, &n->role);
        note_error(n, reply);
        break;
    case PROMOTE_ASK_ROLE_AFTER:
        redis_role_read(reply, &n->role);
        note_error(n, reply);
        if (n->role.kind == ROLE_KIND_MASTER) {
            n->error[0] = '\0';
        }
        break;
    case PROMOTE_ASK_REPLICATION:
        take_replication(n, reply);
        break;
    case PROMOTE_ASK_SETTINGS:
        take_settings(n, reply);
        break;
    case PROMOTE_ASK_SERVER:
        n->has_no_file = redis_answer_has_no_file(reply);
        break;
    case PROMOTE_ASK_SLAVEOF:
        note_error(n, reply);
        break;
    case PROMOTE_ASK_XSLAVEOF:
    case PROMOTE_ASK_REWRITE:
        break;
    }
}
