/* shard_switch.h - carries out the steps of a switchover that concern one shard in this DC, one at a time (endpoints 5, 6, 7, v2 drain and
 * fence; metaserver.md 7; dr-switchover.md 3, 9.2).
 *
 * A step: read the record (switch_record), refuse an older epoch, write the record where the step changes something, run fence_run or
 * promote_run with ownership asked before every command, write the result, answer. Steps of one shard queue (SWITCH_QUEUE_MAX); a repeat of the one
 * under way (same kind, target and epoch) joins it and gets the same answer; within 'again_ms' after a success it gets the same
 * answer without a step. Each has a deadline from its request.
 * While a shard is fenced or was promoted and no document says otherwise, periodic corrections keep off (shard_switch_holds, at most hold_ms
 * after the last step: a Java console sends no status), and the fence is asserted again every reassert_ms, as long as the
 * record says held or frozen: a Redis that restarted comes back as it was before. The fence ends with a release, with
 * this DC becoming a backup one in the document while the cluster is not migrating (then the tree follows: that is the fence), or with the cluster's
 * end.
 * Follow (changeprimarydc to another DC): the active DC of the cluster is changed in memory (dc_store_set_active) for all members, the tree duty
 * may correct this shard although the cluster migrates, and the answer comes when every living Redis of the shard here follows or
 * the deadline passes. A master here is fenced first (its SLAVEOF is the first command). Promote: the same on success, so that keepers and
 * the other Redis follow.
 * A Redis that follows again, after a hold, gets its min-slaves-to-write back (switch_settle.c): a later promotion would leave it refusing writes.
 * Isolation (switch_isolation.c, off by default): where the console was not heard for 'isolation_ms', the masters of the shards whose primary
 * DC this is are held, with a record that says why, until a document that was asked for after the console was heard again says that this DC
 * still is the primary one; any step of a switch takes the hold over.
 * Sentinels: monitors are removed with the hold and added after the promotion by sentinel_monitors, outside the path of the outage.
 * Split: shard_switch.c (shards, records, what others ask), switch_queue.c (requests and their answers), switch_fencing.c, switch_promoting.c
 * and switch_following.c (the steps), switch_keeping.c (fence asserted again, strays), switch_isolation.c, switch_settle.c (settings
 * put back), switch_diverge.c (what a returned master has beyond the new one), switch_state.c (what people see).
 * Owner: loop. */
#ifndef META_PRIMARY_SHARD_SWITCH_H
#define META_PRIMARY_SHARD_SWITCH_H

#include "meta/keepers/tree_duty.h"
#include "meta/links/console_report.h"
#include "shared/switch/promote.h"
#include "meta/primary/switch_record.h"
#include "shared/switch/fence.h"

#define SWITCH_QUEUE_MAX 16

struct shard_switches;

struct shard_switches_options {
    struct loop *loop;
    struct duty_env *duty; /* may_command, credentials, time-outs */
    struct dc_store *store;
    struct switch_records *records;
    struct console_report *reports; /* tells the console of divergences; NULL: nobody does */
    struct late_rewrites *late;     /* hears of CONFIG REWRITE that are refused; NULL: nobody */
    /* Its duty here; NULL: none. */
    struct tree_duty *(*tree_of)(const char *cluster, const char *shard, void *arg);
    /* Something that was under way in this slot is over; may be NULL. */
    void (*on_quiet)(int slot, void *arg);
    /* The document is to be fetched soon: a hold of isolation, and a fence that outlived its migration, end with what it says. May be NULL. */
    void (*refresh)(void *arg);
    /* The other members of this DC are to be asked when they heard the console (shard_switches_heard). May be NULL. */
    void (*ask_others)(void *arg);
    void *arg;
    const char *address;        /* of this metaserver, for the first line of logs; copied */
    int64_t connect_timeout_ms; /* meta.switch.connect.milli, 300 */
    /* meta.switch.fence.milli, 1,000: a fence step without a deadline of its own */
    int64_t fence_ms;
    int64_t follow_ms;   /* meta.switch.follow.milli, 4,000: the same for a step that follows */
    int64_t drain_ms;    /* dcchange.waitfor.offset.milli, 2,000: orders without their own */
    int64_t promote_ms;  /* meta.switch.promote.milli, 2,000, beyond the drain */
    int64_t warm_ms;     /* meta.switch.warm.milli, 2,000: warm_party.h */
    int64_t hold_ms;     /* meta.switch.hold.milli, 60,000 */
    int64_t again_ms;    /* meta.switch.again.milli, 5,000 */
    int64_t diverge_ms;  /* meta.switch.diverge.milli, 2,000: diverge_decide.h */
    int64_t reassert_ms; /* meta.switch.reassert.milli, 1,000 */
    int64_t fast_ms;     /* meta.switch.fast.milli, 100: the same while it is not in force */
    /* meta.isolation.fence.seconds: masters here are held when the console was not heard for so long; 0: never */
    int64_t isolation_ms;
};

struct shard_switches *shard_switches_new(const struct shard_switches_options *);
void shard_switches_free(struct shard_switches *);

enum switch_step {
    SWITCH_CHECK,
    SWITCH_HOLD,
    SWITCH_FREEZE,
    SWITCH_WHOLE,
    SWITCH_RELEASE,
    SWITCH_DRAIN,
    SWITCH_PROMOTE,
    SWITCH_FOLLOW
};
const char *switch_step_text(enum switch_step step);

struct switch_request {
    enum switch_step step;
    const char *cluster;
    const char *shard;
    const char *dc;            /* lower case: the new primary, of CHECK, PROMOTE and FOLLOW */
    struct switch_order order; /* epoch and deadlines of all; the rest of DRAIN and PROMOTE */
};
struct switch_answer { /* what the step is about is set */
    enum switch_step step;
    int rc; /* 0, or an xp code with err: not carried out at all (not ours, not known, no lease) */
    const struct xp_err *err;
    const struct switch_check *check;
    const struct switch_fence *fence;
    const struct switch_change *change;
};
typedef void switch_answer_fn(const struct switch_answer *, void *arg);
/* The callback runs once, on the loop, perhaps inside the call. XP_TOO_MANY: the queue of the shard is full; XP_NOT_OWNER: its slot is not
 * ours; XP_NOT_FOUND: no such shard. Then it does not run. */
int shard_switch_start(struct shard_switches *, const struct switch_request *, switch_answer_fn *,
                       void *arg, struct xp_err *err) XP_MUST_CHECK;

/* What the duties of this shard ask before each command (duty.h). Corrections keep off (D6): the record is not read yet, a step is under
 * way, the shard is fenced, or a promotion failed lately. */
enum duty_stance shard_switch_stance(const struct shard_switches *, int64_t cluster_id,
                                     int64_t shard_id);
bool shard_switch_holds(const struct shard_switches *, int64_t cluster_id, int64_t shard_id);
/* A master in a backup DC that nobody corrects, because what it should follow is not known: it is held (min-slaves-to-write) until it follows,
 * and then gets its setting back. Told as often as it is seen. */
void shard_switch_stray(struct shard_switches *, int64_t cluster_id, int64_t shard_id,
                        const struct addr *master);
/* A Redis of a backup DC that follows nobody is to follow (tree_env.may_discard): 0, or why not yet; what it has beyond the new master is recorded
 * first, and a master is held. The tree duty is told to look again when that is done. */
int shard_switch_may_discard(struct shard_switches *, int64_t cluster_id, int64_t shard_id,
                             const struct tree_discard *, struct xp_err *err) XP_MUST_CHECK;
/* The connection to a Redis of it ended: a fence in force is looked at now, for who comes back may have forgotten it. */
void shard_switch_redis_lost(struct shard_switches *, int64_t cluster_id, int64_t shard_id);
/* The slot was gained: the record is read, a fence in force is asserted again. Lost: nothing more is sent. */
void shard_switch_gained(struct shard_switches *, const struct cluster_meta *, const char *shard);
void shard_switch_lost(struct shard_switches *, int64_t cluster_id, int64_t shard_id);
/* The console was heard, by this member or another one of the DC: it pushed, ordered a step, or answered a question that was asked at 'at'. */
void shard_switches_heard(struct shard_switches *, mono_ms at);
/* When it was, and what follows from that. Returns owned. */
json_t *shard_switches_heard_json(const struct shard_switches *);
/* A new 'isolation_ms'. What is held stays so until the console says more, or a step. */
void shard_switches_set_isolation(struct shard_switches *, int64_t isolation_ms);
/* The metadata of a cluster changed. */
void shard_switch_cluster(struct shard_switches *, const struct cluster_meta *);
/* Nothing is under way in this slot (-1: in any): for sharding_quiet. */
bool shard_switches_are_quiet(const struct shard_switches *, int slot);
/* Record, step under way, last answers. Returns owned. For /api/meta/v2/tree. */
json_t *shard_switch_json(const struct shard_switches *, int64_t cluster_id, int64_t shard_id);

#endif
