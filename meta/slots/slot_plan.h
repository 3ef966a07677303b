/* slot_plan.h - what the leader should do with the slots: a pure decision.
 *
 * In: who is alive, who is gone and since when, and the 256 slot records. Out: at most one step per slot,
 * each with the rule that asked for it, and the moment to look again when a grace period is still running.
 * Level-triggered: the same facts give the same plan, so a crash after any step is repaired by the next run.
 * No I/O, no clock; slot_mover.c carries the steps out. Source: reference/metaserver.md 3.6, 3.7.
 *
 * Differences from x-pipe, on purpose: a live server that holds far too little is topped up together with all
 * others like it in one run; a slot that is MOVING is never taken for balance; a MOVING slot without a live
 * source goes the way of a dead server's slots; an owner that nobody has seen since our session began (cold
 * start) gets a grace of its own, so that a common restart does not pile all slots on the first to be up. */
#ifndef META_SLOTS_SLOT_PLAN_H
#define META_SLOTS_SLOT_PLAN_H

#include "meta/slots/slot.h"
#include "shared/base/clock.h"
#include "shared/base/str.h"

struct slot_fact {
    bool is_known; /* false: no node, or its data is not a slot */
    struct slot slot;
};

struct gone_server {
    int64_t id;
    mono_ms gone_at; /* when we saw its registration vanish, in this session */
};

struct slot_plan_facts {
    const struct slot_fact *slots; /* SLOT_COUNT of them */
    const int64_t *alive;          /* registered servers, ascending, no duplicates */
    size_t alive_count;
    const struct gone_server *gone; /* seen alive in this session, not registered now */
    size_t gone_count;
    mono_ms servers_known_since; /* when the server list was first complete in this session */
    mono_ms now;
    int64_t gone_grace_ms;    /* before the slots of a vanished server move */
    int64_t unknown_grace_ms; /* before the slots of a never seen server move */
    bool allow_moves;         /* false while earlier hand-overs failed a moment ago */
    bool level_out; /* an earlier rebalance was not finished: fill up everybody below the average */
};

enum slot_action {
    SLOT_ASSIGN, /* no hand-over: write NORMAL(to), then addslot on the target */
    SLOT_MOVE,   /* hand over between two live servers, 3.7 */
};

/* clang-format off */
#define SLOT_RULES(R)                                                            \
    R(SLOT_RULE_MISSING,   "S10", "the slot has no record or no owner")           \
    R(SLOT_RULE_DEAD,      "S20", "the owner is gone")                            \
    R(SLOT_RULE_FINISH,    "S30", "was moving, only the target is left")          \
    R(SLOT_RULE_REVERT,    "S40", "was moving, the target is gone")               \
    R(SLOT_RULE_RESUME,    "S50", "was moving, both are alive")                   \
    R(SLOT_RULE_REBALANCE, "S60", "the target holds far less than its share")
/* clang-format on */
#define SLOT_RULE_ENUM_(name, id, why) name,
enum slot_rule { SLOT_RULES(SLOT_RULE_ENUM_) SLOT_RULE_COUNT };

const char *slot_rule_id(enum slot_rule rule);

struct slot_step {
    int slot;
    enum slot_action action;
    int64_t from; /* 0: nobody */
    int64_t to;
    enum slot_rule rule;
};

struct slot_plan {
    struct slot_step steps[SLOT_COUNT]; /* assignments first, then moves; each by slot */
    size_t count;
    mono_ms look_again_at; /* MONO_FOREVER: nothing is pending */
};

void slot_plan_decide(const struct slot_plan_facts *facts, struct slot_plan *ret_plan);

/* One line per run of neighboring slots with the same step:
 * "0-127 assign 3 -> 1 S20 the owner is gone". */
void slot_plan_print(const struct slot_plan *plan, struct str *out);

#endif
