/* slot.c - slot arithmetic and the slot JSON. */
#include "meta/slots/slot.h"

#include <jansson.h>
#include <stdio.h>

#include "shared/base/str.h"

#include "shared/base/banned.h"

#define SLOT_JSON_MAX_BYTES 4096

static const char *const state_names[] = { [SLOT_NORMAL] = "NORMAL", [SLOT_MOVING] = "MOVING" };

int slot_of_cluster(int64_t cluster_db_id)
{
    uint64_t id = (uint64_t)cluster_db_id;
    int64_t h = (int32_t)(uint32_t)(id ^ (id >> 32));
    if (h == INT32_MIN) {
        return 0;
    }
    return (int)((h < 0 ? -h : h) % SLOT_COUNT);
}

struct slot slot_normal(int64_t server_id)
{
    return (struct slot){ .server_id = server_id, .state = SLOT_NORMAL };
}

struct slot slot_moving(int64_t from, int64_t to)
{
    return (struct slot){ .server_id = from, .state = SLOT_MOVING, .to_server_id = to };
}

bool slot_eq(const struct slot *a, const struct slot *b)
{
    return a->server_id == b->server_id && a->state == b->state &&
           a->to_server_id == b->to_server_id;
}

static int read_server_id(const json_t *object, const char *field, int64_t *ret_id,
                          struct xp_err *err)
{
    const json_t *value = json_object_get(object, field);
    int64_t id = 0;
    if (value && !json_is_null(value)) {
        id = json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
    }
    if (id < 0 || id > INT32_MAX) {
        return xp_fail(err, XP_INVALID, "slot field '%s' is not a server id (0 to %d)", field,
                       INT32_MAX);
    }
    *ret_id = id;
    return 0;
}

static int read_state(const json_t *object, enum slot_state *ret_state, struct xp_err *err)
{
    const json_t *value = json_object_get(object, "slotState");
    if (!value || json_is_null(value) || text_eq(json_string_value(value), "NORMAL")) {
        *ret_state = SLOT_NORMAL;
        return 0;
    }
    if (text_eq(json_string_value(value), "MOVING")) {
        *ret_state = SLOT_MOVING;
        return 0;
    }
    return xp_fail(err, XP_INVALID, "slot field 'slotState' is neither NORMAL nor MOVING");
}

static int slot_from_json(const json_t *root, struct slot *ret_slot, struct xp_err *err)
{
    struct slot s = { 0 };
    if (!json_is_object(root)) {
        return xp_fail(err, XP_INVALID, "slot data is not a JSON object");
    }
    int rc = read_server_id(root, "serverId", &s.server_id, err);
    if (rc == 0) {
        rc = read_state(root, &s.state, err);
    }
    if (rc == 0) {
        rc = read_server_id(root, "toServerId", &s.to_server_id, err);
    }
    if (rc == 0) {
        *ret_slot = s;
    }
    return rc;
}

int slot_parse(const char *json, size_t length, struct slot *ret_slot, struct xp_err *err)
{
    if (!json || length == 0 || length > SLOT_JSON_MAX_BYTES) {
        return xp_fail(err, XP_INVALID, "slot data has %zu bytes", length);
    }
    json_t *root = json_loadb(json, length, JSON_REJECT_DUPLICATES, NULL);
    int rc = slot_from_json(root, ret_slot, err);
    json_decref(root);
    return rc;
}

const char *slot_text(const struct slot *s, char *buf)
{
    (void)snprintf(buf, SLOT_TEXT_MAX,
                   "{\"serverId\":%lld,\"slotState\":\"%s\",\"toServerId\":%lld}",
                   (long long)s->server_id, state_names[s->state], (long long)s->to_server_id);
    return buf;
}
