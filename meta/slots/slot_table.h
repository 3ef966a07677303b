/* slot_table.h - the 256 slot records of ZooKeeper, as this member last read them, kept fresh by watches.
 *
 * Reads everything when a session becomes ready after a loss, then follows a watch on each node and on the parent;
 * reads everything again each refresh_ms. It is loaded once a complete reading succeeded since the last loss.
 * Also writes one slot, by compare-and-set on the version that was read, so that two leaders cannot both win.
 * Decides nothing. Thread: loop. Free it after the session it uses. Source: reference/metaserver.md 3.2, 3.4. */
#ifndef META_SLOTS_SLOT_TABLE_H
#define META_SLOTS_SLOT_TABLE_H

#include "meta/slots/slot.h"
#include "shared/net/zk.h"

struct slot_table;

struct slot_entry {
    bool exists;
    bool is_valid; /* exists and is readable */
    struct slot slot;
    int32_t version;
    /* transaction that wrote it; SLOT_MZXID_UNKNOWN right after it was created, until it is read */
    int64_t mzxid;
};
#define SLOT_MZXID_UNKNOWN (-1)

struct slot_table_options {
    struct loop *loop;
    struct zk *zk;    /* borrowed */
    const char *path; /* "/xpipe/metaserver/slots"; copied */
    int64_t refresh_ms;
    void (*on_slot)(int slot, void *arg); /* its entry changed */
    void (*on_loaded)(void *arg);         /* the first complete reading since a loss */
    void *arg;
};

struct slot_table *slot_table_new(const struct slot_table_options *options);
void slot_table_free(struct slot_table *); /* NULL is fine */
void slot_table_on_session(struct slot_table *, enum zk_state state, bool is_new_session);
void slot_table_refresh(struct slot_table *);

bool slot_table_is_loaded(const struct slot_table *);
const struct slot_entry *slot_table_get(const struct slot_table *,
                                        int slot); /* borrowed, never NULL */

/* rc: 0; XP_NOT_FOUND (no node), XP_CONFLICT (somebody else wrote first) and the codes of zk.h. The entry
 * is already up to date when it runs. */
typedef void slot_table_fn(int rc, int slot, void *arg, uint64_t token);
/* Reads one slot now, past all watches. */
int slot_table_read(struct slot_table *, int slot, slot_table_fn *, void *arg, uint64_t token,
                    struct xp_err *) XP_MUST_CHECK;
/* Replaces the version that the table knows, or creates the node. */
struct slot_write {
    int slot;
    struct slot value;
    slot_table_fn *done;
    void *arg;
    uint64_t token;
};
int slot_table_write(struct slot_table *, const struct slot_write *, struct xp_err *) XP_MUST_CHECK;

#endif
