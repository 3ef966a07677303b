/* upstream_row.c - see upstream_row.h. */
#include "meta/keepers/upstream_row.h"

#include <ctype.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/dc_meta.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

/* On the wire; what people see may be worded anew. */
static const char *const places[] = {
    [TREE_OUTSIDE] = "outside",
    [TREE_PRIMARY] = "primary",
    [TREE_BACKUP] = "backup",
};

bool upstream_addr_is_good(const struct addr *addr)
{
    return addr_is_numeric(addr) && !addr_is_nobodys(addr);
}

/* ---- to JSON ---- */

json_t *upstream_keeper_to_json(const struct live_keeper *keeper)
{
    AUTO_FREE char *id = keeper->run_id[0] ? xstrdup(keeper->run_id) : NULL;
    struct keeper_meta meta = {
        .id = id,
        .addr = keeper->addr,
        .is_active = true,
        .container_id = keeper->container_id,
        .priority = keeper->priority,
    };
    return keeper_meta_to_json(&meta);
}

static json_t *master_to_json(const struct addr *addr)
{
    return addr_is_none(addr)
               ? json_null()
               : json_pack("{s:o, s:i}", "ip", jd_text(addr->host), "port", addr->port);
}

static json_t *history_to_json(const struct repl_history *history)
{
    json_t *json = json_pack("{s:s}", "replId", history->repl_id);
    if (history->repl_id2[0]) {
        json_object_set_new(json, "replId2", json_string(history->repl_id2));
        json_object_set_new(json, "secondOffset", json_integer(history->second_offset));
    }
    return json;
}

json_t *upstream_row_to_json(const char *cluster, const char *shard, const struct upstream *u)
{
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:o}", "cluster", cluster, "shard", shard,
                  "place", places[u->place], "hasKeepers", (int)u->has_keepers, "activeKeeper",
                  u->has_active ? upstream_keeper_to_json(&u->active) : json_null(), "master",
                  master_to_json(&u->source), "offset",
                  u->offset < 0 ? json_null() : json_integer(u->offset));
    if (u->history.repl_id[0]) {
        json_object_set_new(row, "history", history_to_json(&u->history));
    }
    return row;
}

/* ---- from JSON ---- */

struct instance_wire {
    char *ip; /* NULL: the object is absent */
    int port;
};

struct row_wire {
    int place; /* enum tree_place */
    bool has_keepers;
    struct instance_wire keeper;
    struct instance_wire master;
    int64_t offset;
    struct repl_history history;
};

/* char[REPL_ID_SIZE]: 40 letters and digits. */
static int decode_repl_id(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    bool is_good = text && length == REPL_ID_SIZE - 1;
    for (size_t i = 0; is_good && i < length; i++) {
        is_good = isalnum((unsigned char)text[i]) != 0;
    }
    if (!is_good) {
        return xp_fail(err, XP_INVALID, "it is no replication id");
    }
    memcpy(field, text, length + 1);
    return 0;
}

static int decode_place(const json_t *value, void *field, struct xp_err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (text_eq(json_string_value(value), places[i])) {
            *(int *)field = (int)i;
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "it is not the place of a DC");
}

#define INSTANCE(member) offsetof(struct instance_wire, member)
#define ROW(member)      offsetof(struct row_wire, member)
#define HISTORY(member)  offsetof(struct repl_history, member)
/* clang-format off */
static const struct jfield instance_fields[] = {
    { .name = "ip", .type = JF_HOST, .offset = INSTANCE(ip), .flags = JF_REQUIRED },
    { .name = "port", .type = JF_PORT, .offset = INSTANCE(port), .flags = JF_REQUIRED },
    { 0 },
};
static const struct jfield history_fields[] = {
    { .name = "replId", .type = JF_CUSTOM, .offset = HISTORY(repl_id), .flags = JF_REQUIRED, .decode = decode_repl_id },
    { .name = "replId2", .type = JF_CUSTOM, .offset = HISTORY(repl_id2), .decode = decode_repl_id },
    { .name = "secondOffset", .type = JF_ID, .offset = HISTORY(second_offset) },
    { 0 },
};
static const struct jfield row_fields[] = {
    { .name = "place", .type = JF_CUSTOM, .offset = ROW(place), .flags = JF_REQUIRED, .decode = decode_place },
    { .name = "hasKeepers", .type = JF_BOOL, .offset = ROW(has_keepers), .flags = JF_REQUIRED },
    { .name = "activeKeeper", .type = JF_OBJECT, .offset = ROW(keeper), .sub = instance_fields },
    { .name = "master", .type = JF_OBJECT, .offset = ROW(master), .sub = instance_fields },
    { .name = "offset", .type = JF_ID, .offset = ROW(offset) },
    { .name = "history", .type = JF_OBJECT, .offset = ROW(history), .sub = history_fields },
    { 0 },
};
/* clang-format on */

/* None for an absent instance; false for an address that may not be pulled from. */
static bool take_instance(const struct instance_wire *wire, struct addr *ret_addr)
{
    struct addr addr = wire->ip ? addr_of(wire->ip, wire->port) : (struct addr){ 0 };
    *ret_addr = addr;
    return !wire->ip || upstream_addr_is_good(&addr);
}

bool upstream_row_read(const json_t *row, const char **ret_cluster, const char **ret_shard,
                       struct upstream *ret_upstream)
{
    struct row_wire wire = { 0 };
    struct upstream u = { 0 };
    struct xp_err ignored;
    const char *cluster = json_string_value(json_object_get(row, "cluster"));
    const char *shard = json_string_value(json_object_get(row, "shard"));
    bool is_good = cluster && shard && jd_object(row, row_fields, &wire, &ignored) == 0 &&
                   take_instance(&wire.keeper, &u.active.addr) &&
                   take_instance(&wire.master, &u.source);
    if (is_good) {
        u.place = (enum tree_place)wire.place;
        u.has_keepers = wire.has_keepers;
        u.has_active = wire.keeper.ip != NULL;
        u.offset = json_is_integer(json_object_get(row, "offset")) ? wire.offset : -1;
        u.history = wire.history;
        u.history.offset = -1;
        u.history.second_offset = wire.history.repl_id2[0] ? wire.history.second_offset : -1;
        *ret_cluster = cluster;
        *ret_shard = shard;
        *ret_upstream = u;
    }
    jd_done(row_fields, &wire);
    return is_good;
}
