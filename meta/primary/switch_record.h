/* switch_record.h - what the metaservers of a DC remember of the switchovers of a shard, in ZooKeeper, so that the next owner of the slot
 * knows it, too: the highest epoch, and the fence in force (dr-switchover.md 9.2 (1), (3)).
 *
 * Node /<ns>/switchover/<clusterDbId>/<shardDbId>, JSON {"epoch","fence":"held|frozen|none","isolation","master":"ip:port","saved":{...},"offset","replId","migratingVersion",
 * "promoted":"ip:port","promoting","maybePromoted":"ip:port","kept":[{"redis":"ip:port","saved":{...}}],"diverged":[...],"wallMs"}. Written before the first command of a fence (the saved settings would be lost with the process), and
 * with the result. An epoch of 0 (Java) is never refused and never lowers a stored one. Garbage in the node counts as no record and is
 * logged. Codec pure, any thread; the rest loop. */
#ifndef META_PRIMARY_SWITCH_RECORD_H
#define META_PRIMARY_SWITCH_RECORD_H

#include "meta/primary/switch_diverged.h"
#include "meta/primary/switch_kept.h"
#include "shared/net/zk.h"
#include "shared/switch/switch_words.h"

struct switch_record {
    int64_t epoch;
    enum fence_state fence; /* NONE, HELD or FROZEN */
    bool is_isolation;  /* no step ordered the fence: the console was not heard. Only with HELD */
    struct addr master; /* that is fenced; none */
    struct fence_saved saved; /* of 'master' */
    /* strays of a backup DC, and masters that were fenced beside 'master' */
    struct switch_kept_list kept;
    char repl_id[REPL_ID_SIZE];
    int64_t offset;
    /* the highest version of the cluster's metadata that said, in this fence, that it is being migrated; 0: none did */
    int64_t migrating_version;
    struct addr promoted; /* by the last promotion here; none */
    bool is_promoting;    /* a promotion was begun here; whom it took is not written yet */
    /* what returned masters had beyond the new one, until the console has it */
    struct switch_diverged_list diverged;
    struct addr maybe; /* got a promotion and never answered: it may be a master; none */
    wall_ms at;
    int32_t version; /* of the node, for zk_set; -1: there is none */
};
char *switch_record_to_text(const struct switch_record *);
int switch_record_from_text(const char *text, size_t length, struct switch_record *ret,
                            struct xp_err *err) XP_MUST_CHECK;

typedef void switch_record_fn(int rc /* 0 or an xp code */,
                              const struct switch_record *record /* borrowed */, void *arg);
struct switch_records;
struct switch_records *switch_records_new(struct loop *, const char *zk_namespace);
void switch_records_free(struct switch_records *);
void switch_records_set_zk(struct switch_records *,
                           struct zk *); /* after each session; NULL: none */
/* Answers through the callback, on the loop, once, not inside the call; within 'timeout_ms'. No node: an empty record, rc 0. */
void switch_record_get(struct switch_records *, int64_t cluster_id, int64_t shard_id,
                       int64_t timeout_ms, switch_record_fn *, void *arg);
/* Only over record->version: somebody else's write in between is XP_CONFLICT. The callback gets the record with its new version. */
void switch_record_put(struct switch_records *, int64_t cluster_id, int64_t shard_id,
                       const struct switch_record *, int64_t timeout_ms, switch_record_fn *,
                       void *arg);
void switch_records_forget(struct switch_records *, const void *arg);

#endif
