/* slot.h - one of the 256 slots that clusters are sharded by: its number, its record, its JSON.
 *
 * A cluster belongs to the slot of its numeric database id; a slot belongs to one metaserver. Knows nothing
 * about ZooKeeper. Plain values; pure functions; any thread. Source: reference/metaserver.md 3.4. */
#ifndef META_SLOTS_SLOT_H
#define META_SLOTS_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

#define SLOT_COUNT    256
#define SLOT_TEXT_MAX 112 /* the JSON of a slot and the NUL */

enum slot_state { SLOT_NORMAL, SLOT_MOVING };

struct slot {
    int64_t server_id; /* owner; while MOVING the exporting server; 0: nobody */
    enum slot_state state;
    int64_t to_server_id; /* target while MOVING; 0 otherwise */
};

/* 0..255, for any id (existing Java members compute the same). */
int slot_of_cluster(int64_t cluster_db_id);

struct slot slot_normal(int64_t server_id);
struct slot slot_moving(int64_t from, int64_t to);
bool slot_eq(const struct slot *a, const struct slot *b);

/* Reads {"serverId":1,"slotState":"NORMAL","toServerId":0}. Unknown members are ignored, a missing or null
 * state is NORMAL, a missing or null number is 0. XP_INVALID for anything else. */
int slot_parse(const char *json, size_t length, struct slot *ret_slot,
               struct xp_err *err) XP_MUST_CHECK;
/* Writes that JSON, compact, into buf (SLOT_TEXT_MAX bytes) and returns buf. */
const char *slot_text(const struct slot *s, char *buf);
#define SLOT_TEXT(s) slot_text((s), (char[SLOT_TEXT_MAX]){ 0 })

#endif
