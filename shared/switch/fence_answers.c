/* fence_answers.c - what the answers to a fence's commands say (see fence_internal.h). They come from servers of unknown kind: what has
 * another shape is not known. */
#include "shared/switch/fence_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static void note_error(struct fence_node *n, const struct rreply *reply)
{
    (void)snprintf(n->error, sizeof(n->error), "%s", rreply_text(reply, NULL));
    for (char *c = n->error; *c; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7F ? ' ' : *c;
    }
}

/* ---- CONFIG GET ---- */

static int64_t number_of(const struct rreply *reply)
{
    size_t length = 0;
    const char *text = rreply_text(reply, &length);
    int64_t value = -1;
    return text_to_i64(text, length, 0, INT64_MAX, &value) ? value : -1;
}

static void take_settings(struct fence_node *n, const struct rreply *reply)
{
    bool has_read_only = false;
    n->min_slaves = -1;
    n->max_lag_s = -1;
    n->is_writable_replica = false;
    for (size_t i = 0; i + 1 < rreply_count(reply); i += 2) {
        const char *name = rreply_text(rreply_at(reply, i), NULL);
        const struct rreply *value = rreply_at(reply, i + 1);
        if (text_eq(name, "min-slaves-to-write")) {
            n->min_slaves = number_of(value);
        } else if (text_eq(name, "min-slaves-max-lag")) {
            n->max_lag_s = number_of(value);
        } else if (text_eq(name, "slave-read-only")) {
            n->is_writable_replica = rreply_is(value, "no");
            has_read_only = true;
        }
    }
    if (!n->seen.is_known && n->min_slaves >= 0 && n->max_lag_s >= 0 && has_read_only) {
        n->seen = (struct fence_saved){ true, n->min_slaves, n->max_lag_s, n->is_writable_replica };
    }
}

/* ---- INFO ---- */

struct line {
    const char *value;
    size_t length;
};

/* "name:value" CRLF; false when the line is another one. */
static bool line_is(const char *at, size_t length, const char *name, struct line *ret_value)
{
    size_t skip = strlen(name);
    if (length < skip || memcmp(at, name, skip) != 0) {
        return false;
    }
    *ret_value = (struct line){ at + skip, length - skip };
    return true;
}

static void take_number(struct line value, int64_t *ret_number)
{
    (void)text_to_i64(value.value, value.length, 0, INT64_MAX, ret_number);
}

/* "ip=..,port=..,state=online,offset=123,lag=0" behind "slave0:" */
static void take_replica(struct fence_node *n, struct line value)
{
    AUTO_FREE char *text = xstrndup(value.value, value.length);
    const char *offset = strstr(text, ",offset=");
    int64_t number = -1;
    if (!strstr(text, ",state=online,") || !offset) {
        return;
    }
    offset += strlen(",offset=");
    (void)text_to_i64(offset, strcspn(offset, ","), 0, INT64_MAX, &number);
    n->replicas++;
    if (n->replicas == 1 || number < n->min_replica_offset) {
        n->min_replica_offset = number;
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
    size_t length = 0;
    const char *at = rreply_text(reply, &length);
    const char *end = at + length;
    int64_t offset = -1;
    int64_t followed = -1;
    n->replicas = 0;
    n->min_replica_offset = -1;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        size_t text_size = size > 0 && at[size - 1] == '\r' ? size - 1 : size;
        struct line value;
        if (line_is(at, text_size, "master_replid:", &value) && value.length < REPL_ID_SIZE) {
            memset(n->repl_id, 0, sizeof(n->repl_id));
            memcpy(n->repl_id, value.value, value.length);
        } else if (line_is(at, text_size, "master_repl_offset:", &value)) {
            take_number(value, &offset);
        } else if (line_is(at, text_size, "slave_repl_offset:", &value)) {
            take_number(value, &followed);
        } else if (line_is(at, text_size, "slave", &value) && value.length > 0 &&
                   value.value[0] >= '0' && value.value[0] <= '9') {
            take_replica(n, value);
        }
        at += size + 1;
    }
    n->offset_before = n->offset;
    n->offset = followed > offset ? followed : offset;
    fence_settle_offset(n);
}

static bool has_no_file(const struct rreply *reply)
{
    const char *line = strstr(rreply_text(reply, NULL), "config_file:");
    return line && strcspn(line + strlen("config_file:"), "\r\n") == 0;
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
        *ret_has_no_file = has_no_file(reply);
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
