/* keep_decide.h - what is to be done for a shard between the steps of a switch: assert its fence again, hold a stray master, put settings back,
 * or nothing. Pure: facts in, one duty with its rule out. The promise of D6 is here: a cluster under migration is left alone, but for
 * the fence that a step of that migration has ordered, until a step has told this DC to follow; and for the hold of a primary DC that
 * does not hear the console: the migration may be going on without it. Thread: any. */
#ifndef META_PRIMARY_KEEP_DECIDE_H
#define META_PRIMARY_KEEP_DECIDE_H

#include <stdbool.h>

struct keep_facts {
    /* a step, another run, or the record is being written */
    bool is_busy;
    /* the record says held or frozen: by a step, or of isolation */
    bool is_fenced;
    /* this DC, in the metadata in memory */
    bool is_primary;
    /* the metadata says so of the cluster */
    bool is_migrating;
    /* a step of this migration has told this DC to follow, or has promoted here */
    bool may_follow;
    /* a master that nobody corrects was told of, and is not known to be held */
    bool is_stray_due;
    /* of Redis that were held: to be given back */
    bool has_settings;
    /* a promotion was begun here, and whom it took was never written: it is to be found */
    bool is_find_due;
    /* the migration that left the fence is over, and another DC is the primary one: the next migration is none of its */
    bool is_past;
    /* the migration that ordered the fence is over, and this DC is still the primary one: the metadata says so */
    bool is_ended;
    /* the metadata says the same of a fence of who had this shard before, and perhaps too early: who knows for sure was just asked */
    bool is_doubted;
    /* others (console, another DC) may have fenced a Redis here */
    bool is_look_wanted;
    /* the console was not heard for so long that the masters of this DC are to refuse writes */
    bool is_isolated;
    /* the fence in the record is of isolation: no step ordered it */
    bool is_isolation;
    /* the metadata in memory is what the console said after it was heard again */
    bool is_confirmed;
};

enum keep_duty {
    KEEP_NOTHING, /* until something changes */
    KEEP_LATER,   /* asked again in a moment */
    /* the fence that nobody wants any more; who ended the migration may have released it by another way */
    KEEP_RELEASE,
    KEEP_ASSERT,  /* the fence in force is to be seen, or made, again */
    KEEP_ISOLATE, /* the record is to say that the master is held, for the console is not heard */
    KEEP_HOLD,    /* the stray */
    KEEP_FIND,    /* the only master of the primary DC is the promoted one */
    KEEP_SETTLE,  /* who follows gets its settings back */
    KEEP_FORGET,  /* the fence is over, and overwrote nothing */
};

struct keep_plan {
    enum keep_duty duty;
    const char *rule; /* "K10"..., table in keep_decide.c */
    const char *why;  /* static */
};
void keep_decide(const struct keep_facts *, struct keep_plan *ret_plan);

/* The duties that depend on what the metadata says: asked again before each command. */
bool keep_is_in_force(const struct keep_facts *); /* the fence, whatever the periodic duties want */
bool keep_is_over(const struct keep_facts *);     /* the fence, in this DC that stays primary */
bool keep_may_correct(const struct keep_facts *); /* strays */
bool keep_may_settle(const struct keep_facts *);  /* settings */

#endif
