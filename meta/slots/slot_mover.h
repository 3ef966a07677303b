/* slot_mover.h - the leader's hands: looks at the facts, asks slot_plan what to do, and does it.
 *
 * One task (one plan) at a time: all assignments are written at once, then at most MOVER_PARALLEL hand-overs run beside
 * each other, each of them mark - import - export - commit - add - delete, or rolled back; a record that anybody wrote since the mark
 * is not committed. A task starts no new hand-over
 * after MOVER_TASK_MS or MOVER_PARALLEL failures. Slot records are written by compare-and-set and only under a valid lease. Commands that only
 * speed things up (addslot after an assignment, notifyslotchange for members that do not watch) go through
 * a bounded queue and are best effort: members see the records themselves.
 * Works only while mover_set_leader(true). Thread: loop. Source: reference/metaserver.md 3.6, 3.7. */
#ifndef META_SLOTS_SLOT_MOVER_H
#define META_SLOTS_SLOT_MOVER_H

#include "meta/slots/slot_peer.h"
#include "meta/zk/server_registry.h"

#define MOVER_PARALLEL       8
#define MOVER_TASK_MS        60000
#define MOVER_FOLLOW_UPS_MAX 4096

struct slot_mover;

struct slot_mover_options {
    struct loop *loop;
    struct zk *zk; /* borrowed, like the three below */
    struct slot_table *table;
    struct server_registry *registry;
    struct slot_keeper *keeper; /* for commands to ourselves */
    struct slot_peer_ops peer;
    int64_t self_id;
    int64_t check_ms; /* looks without an event */
    int64_t gone_grace_ms;
    int64_t unknown_grace_ms;
};

struct slot_mover *slot_mover_new(const struct slot_mover_options *options);
void slot_mover_free(struct slot_mover *); /* NULL is fine */
void slot_mover_set_leader(struct slot_mover *, bool is_leader);
/* something changed; looks in this turn or when the task ends */
void slot_mover_look(struct slot_mover *);
/* The same, and no further hand-over of the running task is started: slots of the dead come first. */
void slot_mover_servers_changed(struct slot_mover *);

#endif
