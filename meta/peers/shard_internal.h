/* shard_internal.h - the inside of a shard_duty, shared by shard_*.c only. Owner: loop. */
#ifndef META_PEERS_SHARD_INTERNAL_H
#define META_PEERS_SHARD_INTERNAL_H

#include "meta/peers/shard_duty.h"
#include "meta/shards/action_record.h"
#include "shared/base/metrics.h"
#include "shared/net/rconn.h"

/* Redis of one shard in one DC that are watched; more is a metadata error and logged */
#define NODES_MAX 64

struct shard_node { /* one Redis */
    struct shard_duty *duty;
    struct addr addr;
    struct rconn *conn;
    enum node_role role;
    mono_ms role_at;
    bool is_named;  /* CLIENT SETNAME was sent on this connection, and not answered by LOADING */
    bool was_tried; /* ROLE had an outcome, or a connection failed */
    int own_gid;
    struct redis_server_info server;
    mono_ms server_at;      /* of the INFO server answer on this connection; MONO_NEVER: ask */
    int outstanding;        /* commands of the poll under way */
    bool info_asked;        /* CRDT.INFO is among them */
    bool is_crdt;           /* false after an unknown-command answer to CRDT.INFO */
    struct crdt_kept *info; /* last CRDT.INFO of a master, for people; owned, or NULL */
    char problem[96];       /* "" or why it does not answer as it should */
};

struct peer_dc { /* one other DC of the cluster */
    char *dc;
    bool is_known;
    struct current_master master;
    struct route_pick pick;
};

struct link_watch { /* how a peer link was last seen */
    bool is_seen;
    bool is_up;
    bool is_reported; /* the alert is out */
    mono_ms since;
};

enum run_phase { RUN_IDLE, RUN_ROLE, RUN_COMMAND, RUN_REWRITE };

struct run_step {
    struct peer_action action;
    struct peerof_words words;
};

struct shard_run { /* one correction under way */
    enum run_phase phase;
    uint64_t generation; /* replies of an older run are dropped */
    size_t node;
    size_t step_count;
    size_t at;
    struct run_step *steps; /* owned; NULL between runs: thousands of shards keep their run */
    bool needs_rewrite;
    bool rewrite_replicas;
    int rewrite_tries;  /* without an answer, since the last correction */
    bool is_owed_told;  /* the log says already that the rewrite must wait */
    bool is_outdated;   /* what is wanted changed while it was under way: it must not go on */
    bool is_unanswered; /* the last command was: the next one too means a pause */
    /* by the last run, a bit for each gid that was set or removed: what Redis shows next must be as wanted */
    uint32_t applied;
};

struct shard_duty {
    struct duty base; /* first */
    struct duty_env *env;
    struct peer_env *peer_env;
    struct shard_node *nodes;
    size_t node_count;
    struct loop_timer poll;
    mono_ms poll_at;       /* when it fires */
    int64_t poll_phase_ms; /* where in the period */
    struct current_master current;
    enum master_verdict verdict;
    mono_ms verdict_since;
    mono_ms first_look_until; /* so long the first master waits for what the others say */
    mono_ms masterless_since; /* MONO_NEVER while there is a single master */
    bool is_masterless_told;
    struct peer_dc peers[PEER_DCS_MAX];
    size_t peer_count;
    struct removal_watch removal[PEER_DCS_MAX];
    uint32_t kicked_gids;
    char kicked_run_id[64];
    struct shard_run *run; /* NULL until the first correction */
    bool triggered;        /* something changed: correct even when the periodic switch is off */
    mono_ms backoff_until;
    int64_t backoff_ms;
    mono_ms wrong_since;                          /* first seen wrong; MONO_NEVER */
    mono_ms checked_at;                           /* last evaluation of peers */
    uint8_t shown[PEER_DCS_MAX + CRDT_PEERS_MAX]; /* verdicts counted in the gauges */
    size_t shown_count;
    struct link_watch links[CRDT_GID_MAX + 1];
    struct action_record *records[CRDT_GID_MAX + 1];
    bool is_closing;
    duty_quiet_fn *on_quiet; /* NULL: not leaving */
    void *quiet_arg;
};

/* shard_node.c */
/* from the metadata; a changed set of addresses is connected to anew */
void shard_nodes_set(struct shard_duty *);
void shard_nodes_free(struct shard_duty *);
void shard_poll_now(struct shard_duty *, int64_t delay_ms); /* not later than that */
void shard_poll_init(struct shard_duty *);
void shard_node_ask_info(struct shard_node *); /* one CRDT.INFO outside the rhythm */
/* A reply to ROLE; NULL, another shape or another word is ROLE_UNKNOWN. Pure. */
enum node_role shard_role_of(const struct rreply *);

/* shard_duty.c */
void shard_evaluate_master(struct shard_duty *);
void shard_evaluate_peers(struct shard_duty *, struct shard_node *, const struct crdt_info *);
void shard_fill_facts(struct shard_duty *, const struct shard_node *, const struct crdt_info *,
                      struct wanted_peer *wanted, struct peer_facts *ret_facts);
struct shard_node *shard_master_node(struct shard_duty *); /* of the current master; NULL */
/* Whether a command may be sent at all, asked before a run and again before each of its commands. */
int shard_check_allowed(struct shard_duty *, struct xp_err *err) XP_MUST_CHECK;

/* shard_run.c */
void shard_run_start(struct shard_duty *, size_t node, const struct peer_facts *,
                     const struct peer_plan *);
bool shard_run_is_active(const struct shard_duty *);
bool shard_run_is_commanding(const struct shard_duty *); /* a PEEROF is not answered yet */
void shard_run_cancel(struct shard_duty *);
/* what is wanted changed: outcomes of before prove nothing */
void shard_run_outdate(struct shard_duty *);
void shard_run_rewrite(struct shard_duty *,
                       struct shard_node *master); /* CONFIG REWRITE that is still owed */
void shard_run_free(struct shard_duty *);

/* shard_state.c */
json_t *shard_state_json(struct shard_duty *);
void shard_show_verdicts(struct shard_duty *, const struct peer_plan *); /* gauges */
/* of the peers: without a single master there are none */
void shard_forget_verdicts(struct shard_duty *);
void shard_hide_verdicts(struct shard_duty *);
void shard_watch_master(struct shard_duty *, const struct master_choice *); /* alert when missing */
void shard_watch_links(struct shard_duty *, const struct peer_facts *, const struct peer_plan *);
void shard_records_free(struct shard_duty *);

extern struct metric shard_polls_ok;
extern struct metric shard_polls_failed;
extern struct metric shard_corrections_ok;
extern struct metric shard_corrections_refused;
extern struct metric shard_corrections_unknown;
extern struct metric shard_corrections_held;
extern struct metric shard_correction_seconds;
extern struct metric shard_master_changes;

#endif
