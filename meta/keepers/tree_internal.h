/* tree_internal.h - the inside of a tree_duty, shared by tree_*.c only. Owner: loop.
 *
 * There are tens of thousands of members: what most of them never need is allocated when it is. */
#ifndef META_KEEPERS_TREE_INTERNAL_H
#define META_KEEPERS_TREE_INTERNAL_H

#include "meta/keepers/container_decide.h"
#include "meta/keepers/source_choose.h"
#include "meta/keepers/tree_duty.h"
#include "meta/shards/action_record.h"
#include "shared/base/metrics.h"
#include "shared/net/rconn.h"

#define KEEPER_TIMEOUT_MS       660  /* of a keeper's answer (proxy-and-keeper.md 4.5) */
#define KEEPER_ROUTE_TIMEOUT_MS 5000 /* of a setstate with a route */
/* Keepers of a shard that is as wanted are asked at every third poll, in turns: ZooKeeper tells at once when one dies, and a
 * farm has twice as many keepers as Redis. */
#define KEEPER_EVERY 3

struct failover_info { /* INFO replication of a Redis, asked for while a loss is suspected */
    char repl_id[41];
    int64_t priority;
    int64_t repl_offset;
};

struct member_order { /* what it was last told and said +OK to, until something else is wanted */
    enum tree_action_kind kind;
    struct addr target;
};

struct tree_member { /* one Redis, or one living keeper, with its connection */
    struct tree_duty *duty;
    struct rconn *conn;
    struct tree_node node; /* what the decisions see; route_sent is filled in with the facts */
    uint8_t outstanding;   /* commands of the poll under way */
    bool is_named; /* CLIENT SETNAME was sent on this connection, and not answered by LOADING */
    bool is_server_asked;  /* keepers: INFO server on this connection */
    bool refuses_xslaveof; /* on this connection */
    bool is_busy;          /* a step of the run waits for its answer: it is not polled meanwhile */
    bool is_departed;      /* in the set no more, and kept until its command is answered */
    bool has_changed;      /* since the last evaluation */
    bool is_kept;          /* while a new set is put together */
    /* a command was sent, and nothing was read since: no decision rests on what was seen before */
    bool is_unread;
    int8_t shown; /* verdict counted in the gauges; -1: none */
    int64_t backoff_ms;
    mono_ms backoff_until;
    /* keepers: which process took the route */
    char *route; /* owned; NULL: not known */
    char route_run_id[41];
    char run_id[41]; /* of INFO server on this connection; "" not known */
    mono_ms route_started_at;
    mono_ms started_at; /* now less its uptime; MONO_NEVER */
    /* Redis: when its priority is asked for next; on a new connection at once, unless it refused */
    mono_ms priority_at;
    uint8_t priority_failures; /* commands without an answer, in a row */
    mono_ms history_asked;  /* when its history was asked for; MONO_NEVER: not as what it is now */
    mono_ms history_at;     /* when the answer that 'history' is was asked for */
    bool is_history_wanted; /* with the next poll */
    /* rarely needed, owned or NULL */
    struct member_order *order;
    struct failover_info *failover;
    /* of a master that others pull from, of one that is to follow; as long as its role stays */
    struct repl_history *history;
    struct action_record *record;
    char *problem; /* why it does not answer as it should */
};

enum step_kind { STEP_SET_ACTIVE, STEP_SET_BACKUP, STEP_FOLLOW, STEP_PROMOTE, STEP_SET_PRIORITY };
enum step_phase { STEP_WAITS, STEP_LOOKS, STEP_COMMANDS, STEP_DONE, STEP_FAILED };

struct run_step {
    enum step_kind kind;
    enum step_phase phase;
    int stage;
    struct tree_member *member; /* NULL once it is over */
    struct addr target;
    char *route;  /* SET_ACTIVE with a route: its words, owned; else NULL */
    int priority; /* SET_PRIORITY */
    const char *rule;
    const char *why;
    const char *verb;         /* XSLAVEOF or SLAVEOF */
    enum role_kind seen_kind; /* what the decision saw */
    struct addr seen_master;
    enum role_link seen_link;
    enum keeper_state seen_state;
    int seen_priority;
};

struct tree_run {        /* one correction under way */
    uint64_t generation; /* replies of an older run are dropped */
    int stage;
    bool is_outdated; /* what is wanted changed while it was under way: nothing more is sent */
    size_t step_count;
    struct run_step *steps; /* owned; NULL between runs */
};

struct tree_duty {
    struct duty base; /* first */
    struct duty_env *env;
    struct tree_env *tree_env;
    enum tree_place place;
    /* members: the Redis in the order of the document, then the living keepers in that of the election */
    struct tree_member **members;
    size_t redis_count;
    size_t member_count;
    struct tree_member **departed;
    size_t departed_count;
    struct loop_timer poll;
    mono_ms poll_at;
    int64_t poll_phase_ms;
    uint32_t polls;
    /* election */
    struct keeper_watch_shard *watch;
    bool is_election_known;
    struct live_keeper *live; /* keeper_election as far as it is used */
    size_t live_count;
    int active;
    int unreadable;
    int ignored;
    mono_ms report_at; /* of the active keeper to the console, again */
    /* source */
    struct addr source;
    struct addr told;
    int64_t told_offset;
    struct repl_history told_history; /* of the primary DC's master; repl_id "": not told */
    struct addr head;                 /* last told to the backup DCs */
    enum source_verdict source_verdict;
    int masters;         /* observed */
    bool is_master_seen; /* the source was observed as a master, not only assumed */
    struct addr relay;
    struct addr appointed; /* promoted here by a switchover */
    mono_ms sentinels_at;  /* until then monitors are not added or changed; 0: they may be */
    char *route_words;     /* "" none; owned */
    enum route_choice_kind route_kind;
    int64_t route_id;
    /* correction */
    bool is_first_look;
    mono_ms first_look_until;
    bool triggered;      /* something changed: correct even when the periodic switch is off */
    mono_ms wrong_since; /* first seen wrong; MONO_NEVER */
    mono_ms checked_at;
    struct tree_run *run; /* NULL until the first correction */
    /* containers */
    struct container_try *tries;
    size_t try_count;
    mono_ms whole_since;
    mono_ms missing_since;
    bool is_container_work; /* something is dead or extra */
    int dead;
    int extra;
    mono_ms containers_at;
    /* primary DC */
    struct failover_plan failover; /* of the last look */
    bool is_lost_told;
    mono_ms promoted_at;
    struct addr lost_master; /* whose place we gave to another */
    struct monitored_shard *monitor;
    char *monitor_address; /* as registered; owned */
    char *monitor_name;
    struct upstream shown; /* on the board */
    bool is_on_board;
    bool is_closing;
    duty_quiet_fn *on_quiet; /* NULL: not leaving */
    void *quiet_arg;
};

/* tree_node.c */
/* from the metadata and the election; who stays keeps its connection */
void tree_members_set(struct tree_duty *);
void tree_members_free(struct tree_duty *);
void tree_poll_init(struct tree_duty *);
void tree_poll_now(struct tree_duty *, int64_t delay_ms); /* not later than that */
/* its command was answered: a departed one is freed */
void tree_member_settle(struct tree_member *);
/* What replies say. Pure. */
enum keeper_state tree_state_of(const struct rreply *);
/* Of CONFIG GET slave-priority; PRIORITY_REFUSED for any other answer. */
int tree_priority_of(const struct rreply *);
void failover_info_parse(const char *text, size_t length, struct failover_info *ret_info);

void tree_note_priority(struct tree_member *, int priority); /* it told it, or took it */
/* It refused to tell or to take one, or did not answer: not known, and asked again in a while. */
void tree_note_no_priority(struct tree_member *, bool is_refused);
void tree_forget_histories(struct tree_duty *);
void tree_forget_priorities(struct tree_duty *); /* all are read again */
extern const char *const tree_priority_words[3];

/* tree_duty.c */
void tree_evaluate(struct tree_duty *);
/* 'nodes' has room for TREE_NODES_MAX; the facts borrow it and the election. */
void tree_facts_fill(struct tree_duty *, struct tree_node *nodes, struct keeper_election *election,
                     struct tree_facts *ret_facts);
void tree_monitored(void *duty, struct monitored_state *ret_state);
/* Whether a command may be sent at all, asked before a run and again before each of its commands. */
int tree_check_allowed(struct tree_duty *, struct xp_err *err) XP_MUST_CHECK;
/* The same, and whether anything is to be corrected at all now: asked before a run. */
int tree_check_hold(struct tree_duty *, struct xp_err *err) XP_MUST_CHECK;
void tree_look_anew(struct tree_duty *); /* earlier refusals do not count any more */
void tree_election(const struct tree_duty *, struct keeper_election *ret_election);
bool tree_is_calm(const struct tree_duty *);     /* as wanted: keepers are asked less often */
bool tree_is_in_doubt(const struct tree_duty *); /* asked more often */
void tree_tick(struct tree_duty *);              /* once a poll */
const struct live_keeper *tree_active(const struct tree_duty *); /* NULL: none */
/* Notes why a plan waits, once for each change; NULL: it does not. */
void tree_note_hold(struct tree_duty *, const char *why);

/* tree_switch.c */
/* It follows nobody, and this DC is to make it follow: what it has of its own is lost by that. */
bool tree_is_discarded(const struct tree_member *);
/* Is what it has written down, or nothing? 0, or why it may not be told to follow yet. */
int tree_check_discard(struct tree_member *, struct xp_err *err) XP_MUST_CHECK;
void tree_ask_upstream(struct tree_duty *);

/* tree_run.c */
void tree_run_start(struct tree_duty *, const struct tree_facts *, const struct tree_plan *);
void tree_run_failover(struct tree_duty *, const struct failover_plan *);
/* who still follows the master whose place we gave away */
void tree_run_repoint(struct tree_duty *);
bool tree_run_is_active(const struct tree_duty *);
bool tree_run_is_commanding(const struct tree_duty *); /* a command is not answered yet */
void tree_run_outdate(struct tree_duty *);
bool tree_run_waits_for(const struct tree_duty *,
                        const struct tree_member *); /* for its answer to a command */
void tree_run_drop(struct tree_duty *, const struct tree_member *); /* it is freed */
void tree_run_free(struct tree_duty *);

/* tree_failover.c: a lost master in the primary DC */
void tree_failover_look(struct tree_duty *);
bool tree_failover_act(struct tree_duty *); /* true: it wants something, so the tree waits */
bool tree_failover_is_asking(const struct tree_duty *); /* INFO replication with each poll */
void tree_failover_forget(struct tree_duty *);

/* tree_switch.c: what a switchover of the primary DC asks and is told */
void tree_tell_strays(struct tree_duty *, const struct tree_facts *, const struct tree_plan *);

/* tree_containers.c */
void tree_containers_look(struct tree_duty *, bool is_change);
void tree_containers_retire(struct tree_duty *);

/* tree_state.c */
json_t *tree_state_json(struct tree_duty *);
void tree_show_verdicts(struct tree_duty *, const struct tree_plan *);
void tree_hide_verdict(struct tree_member *);

extern struct metric tree_polls_ok;
extern struct metric tree_polls_failed;
extern struct metric tree_commands_ok;
extern struct metric tree_commands_refused;
extern struct metric tree_commands_unknown;
extern struct metric tree_not_taken;
extern struct metric tree_held;
extern struct metric tree_correction_seconds;
extern struct metric tree_source_changes;
extern struct metric tree_active_changes;
extern struct metric tree_relay_changes;
extern struct metric tree_masters_lost;
extern struct metric tree_promotions;

#endif
