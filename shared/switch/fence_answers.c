/* fence_answers.c - what the answers to a fence's commands say (see fence_internal.h, redis_answer.h). */
#include "shared/switch/fence_internal.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/redis_answer.h"

#include "shared/base/banned.h"

struct fence_node fence_node_of(const struct addr *redis)
{
    return (struct fence_node){ .addr = *redis,
                                .offset = -1,
                                .offset_before = -1,
                                .settled_offset = -1,
                                .min_replica_offset = -1,
                                .min_slaves = -1,
                                .max_lag_s = -1 };
}

static void note_error(struct fence_node *n, const struct rreply *reply)
{
    redis_answer_error(reply, n->error, sizeof(n->error));
}

/* ---- settings, offsets ---- */

static void take_settings(struct fence_node *n, const struct rreply *reply)
{
    struct redis_settings told;
    redis_answer_settings(reply, &told);
    n->min_slaves = told.min_slaves;
    n->max_lag_s = told.max_lag_s;
    n->is_writable_replica = !told.is_read_only;
    if (!n->seen.is_known && n->min_slaves >= 0 && n->max_lag_s >= 0 && told.has_read_only) {
        n->seen = (struct fence_saved){ true, n->min_slaves, n->max_lag_s, n->is_writable_replica };
    }
}

void fence_settle_offset(struct fence_node *n)
{
    bool is_held = n->role.kind == ROLE_KIND_MASTER && n->min_slaves >= FENCE_MIN_SLAVES;
    n->readings++;
    if (is_held && n->settled_offset < 0 && n->offset >= 0 &&
        (n->offset == n->offset_before || n->readings >= FENCE_READINGS_MAX)) {
        n->settled_offset = n->offset;
    }
}

static void take_replication(struct fence_node *n, const struct rreply *reply)
{
    struct redis_replication told;
    redis_answer_replication(reply, &told);
    if (told.repl_id[0]) {
        memcpy(n->repl_id, told.repl_id, sizeof(n->repl_id));
    }
    n->replicas = told.replicas;
    n->min_replica_offset = told.min_replica_offset;
    n->offset_before = n->offset;
    n->offset = told.followed_offset > told.own_offset ? told.followed_offset : told.own_offset;
    fence_settle_offset(n);
}

/* ---- the write that changes nothing ---- */

/* MISCONF is looked at before NOREPLICAS and READONLY: with the settings in force (they are known) it is a refusal, too. */
static void take_probe(struct fence_node *n, const struct rreply *reply)
{
    static const char *const refusals[] = { "NOREPLICAS", "READONLY", "MISCONF" };
    if (rreply_type(reply) == RREPLY_INTEGER) {
        n->probe = PROBE_ACCEPTED;
        return;
    }
    n->probe = PROBE_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        if (text_has_prefix(rreply_text(reply, NULL), refusals[i])) {
            n->probe = PROBE_REFUSED;
        }
    }
    if (n->probe == PROBE_OTHER) {
        note_error(n, reply);
    }
}

/* ---- roles ---- */

static void take_role_after(struct fence_node *n, enum role_kind wanted, const struct rreply *reply)
{
    redis_role_read(reply, &n->role);
    if (n->role.kind == wanted) {
        n->error[0] = '\0'; /* of a SLAVEOF that the XSLAVEOF made superfluous */
    } else if (rreply_is_error(reply)) {
        note_error(n, reply);
    }
}

static void take_set(struct fence_node *n, const struct fence_step *step,
                     const struct rreply *reply)
{
    if (rreply_is_error(reply)) {
        note_error(n, reply);
    } else if (step->ask == ASK_SET_MIN_SLAVES) {
        n->min_slaves = step->value;
    } else if (step->ask == ASK_SET_MAX_LAG) {
        n->max_lag_s = step->value;
    } else {
        n->is_writable_replica = step->value == 0;
    }
}

/* ---- before an answer ---- */

bool fence_is_change(enum fence_order_kind kind)
{
    return kind == FENCE_ORDER_HOLD || kind == FENCE_ORDER_FREEZE || kind == FENCE_ORDER_RELEASE;
}

void fence_expect(struct fence_node *n, enum fence_order_kind kind)
{
    bool is_change = fence_is_change(kind);
    n->was_asked = true;
    n->is_silent = false;
    n->why = RCONN_ANSWERED;
    if (is_change) {
        n->tries++;
        n->readings = 0;
        n->settled_offset = -1;
    }
    if (is_change || kind == FENCE_ORDER_PROBE || kind == FENCE_ORDER_LOOK) {
        n->error[0] = '\0';
    }
    if (is_change || kind == FENCE_ORDER_PROBE || n->probe == PROBE_ACCEPTED) {
        n->probe = PROBE_NONE;
    }
}

void fence_take(struct fence_node *n, const struct fence_step *step, const struct rreply *reply,
                bool *ret_has_no_file)
{
    switch (step->ask) {
    case ASK_ROLE:
        redis_role_read(reply, &n->role);
        if (rreply_is_error(reply)) {
            note_error(n, reply);
        }
        break;
    case ASK_ROLE_AFTER:
        take_role_after(n, step->wanted, reply);
        break;
    case ASK_SETTINGS:
        take_settings(n, reply);
        break;
    case ASK_REPLICATION:
        take_replication(n, reply);
        break;
    case ASK_SERVER:
        *ret_has_no_file = redis_answer_has_no_file(reply);
        break;
    case ASK_PROBE:
        take_probe(n, reply);
        break;
    case ASK_SET_MIN_SLAVES:
    case ASK_SET_MAX_LAG:
    case ASK_SET_READ_ONLY:
        take_set(n, step, reply);
        break;
    case ASK_SLAVEOF:
        if (rreply_is_error(reply)) {
            note_error(n, reply);
        }
        break;
    case ASK_XSLAVEOF:
    case ASK_REWRITE:
        break;
    }
}
