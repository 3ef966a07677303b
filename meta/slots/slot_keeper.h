/* slot_keeper.h - which slots this member works on, now.
 *
 * A slot is held when its record names us as owner (NORMAL or MOVING), we have not exported it, and holding is
 * allowed at all: registered, slots read since the last loss, not draining. Every gain and loss goes to the owner's
 * on_slot. slot_keeper_owns adds the lease: false from the moment it ends, whatever else is remembered.
 *
 * Claims: a record that names us and is older than our registration is held only after we wrote it again, as it is. The leader
 * that saw us gone may be giving it away at this moment, from a list of servers of before: one of the two writes fails. When
 * ours came first, the leader meets a newer record, and before that ZooKeeper told it that the servers changed; it plans only with
 * a list that is read. Without this a member that is back within the leader's reaction time works beside the new owner.
 *
 * Rivals: a record that named another member and names us now, without a hand-over, while that member is registered: somebody rewrote
 * it. That member may not have heard yet. It is held when the rival is gone, or after a lease: by then he has heard, or has no lease.
 *
 * Also answers the five slot commands of the leader; each reads the record anew first. An export is refused while a claim is under
 * way, which would make the slot ours again, and answered when the slot is quiet, since the answer lets the next owner command.
 * Decides by slot_keeper_should_hold, a pure function. Thread: loop. Source: reference/metaserver.md 3.4, 3.7. */
#ifndef META_SLOTS_SLOT_KEEPER_H
#define META_SLOTS_SLOT_KEEPER_H

#include "meta/slots/slot_table.h"

struct slot_keeper;

/* In the order of a hand-over. */
enum slot_command { SLOT_IMPORT, SLOT_EXPORT, SLOT_ADD, SLOT_DELETE, SLOT_NOTIFY };
const char *slot_command_path(enum slot_command command); /* "importslot", ... */

struct slot_keeper_options {
    struct loop *loop;
    struct zk *zk;            /* borrowed: the lease */
    struct slot_table *table; /* borrowed */
    int64_t self_id;
    int64_t check_ms; /* period of the comparison of what is held with what the records say */
    void (*on_slot)(int slot, bool is_held, void *arg);
    /* After a loss: is no command of ours for this slot under way any more? NULL: never one. */
    bool (*is_quiet)(int slot, void *arg);
    bool (*is_registered)(int64_t server_id, void *arg); /* NULL: nobody else is */
    void *arg;
};

struct slot_keeper *slot_keeper_new(const struct slot_keeper_options *options);
/* Before the free: answers the exports that still wait. */
void slot_keeper_stop(struct slot_keeper *);
void slot_keeper_free(struct slot_keeper *); /* NULL is fine; tells nobody */
/* May anything be held at all? Falling to false loses every slot before it returns. 'registered_zxid': of our registration. */
void slot_keeper_allow(struct slot_keeper *, bool is_allowed, int64_t registered_zxid);
void slot_keeper_look(struct slot_keeper *, int slot); /* its record changed */
/* is_quiet became true: exports are answered. */
void slot_keeper_quiet(struct slot_keeper *, int slot);

bool slot_keeper_owns(const struct slot_keeper *, int slot, mono_ms now);
bool slot_keeper_has_exported(const struct slot_keeper *, int slot);
bool slot_keeper_holds(const struct slot_keeper *, int slot); /* without looking at the lease */

/* rc 0, or XP_CONFLICT with the text of the interface ("error import 5,{...}"), or an error of zk.h. */
typedef void slot_command_fn(int rc, const struct xp_err *err, void *arg, uint64_t token);
struct slot_command_call {
    enum slot_command command;
    int slot;
    slot_command_fn *done;
    void *arg;
    uint64_t token;
};
int slot_keeper_command(struct slot_keeper *, const struct slot_command_call *,
                        struct xp_err *) XP_MUST_CHECK;

struct slot_hold_facts {
    bool is_allowed;
    int64_t self_id;
    int64_t registered_zxid;
    const struct slot_entry *entry;
    bool was_exported;        /* we handed it out ... */
    int32_t exported_version; /* ... while the record had this version */
    bool has_rival; /* the member that it named before is registered, and handed nothing over */
    mono_ms now;
    /* A lease after the record began to name us; MONO_NEVER: it did not, yet. */
    mono_ms rival_until;
};
enum slot_hold { SLOT_NOT_OURS, SLOT_TO_CLAIM, SLOT_TO_WAIT, SLOT_HELD };
enum slot_hold slot_keeper_should_hold(const struct slot_hold_facts *);

/* Who may still work on a slot when its record names us next, without having been asked to let go; 0: nobody. 'rival': the answer for the record
 * before. One that a foreign hand writes, and that was never there, does not hide who was. */
int64_t slot_keeper_rival(int64_t rival, const struct slot_entry *, int64_t self_id,
                          bool is_named_registered);

#endif
