/* diverge_decide.h - before a returned master of a backup DC (or one that a fence has frozen) is told to follow, which discards what it has beyond the
 * new master: may it be, and what is to be remembered of it? Pure: facts in, verdict with its rule out.
 *
 * Its history is compared with the one of the master of the primary DC, whose second_repl_offset is the exact point of its promotion; where that is
 * not known, or does not go back so far, with where its fence has left it. Bytes are those of the stream of replication: writes, and also
 * pings and keys that expired. A master is held (min-slaves-to-write) first: what is counted is all there will be. What is beyond, or
 * cannot be compared, is recorded and written down before the command. Waiting has an end (patience_ms); the record has none: without ZooKeeper
 * nothing may be commanded anyway. Thread: any. */
#ifndef META_PRIMARY_DIVERGE_DECIDE_H
#define META_PRIMARY_DIVERGE_DECIDE_H

#include "shared/net/repl_history.h"

struct diverge_facts {
    bool is_master;            /* else it follows nobody: frozen by a fence */
    bool is_held;              /* it is known to refuse writes */
    struct repl_history own;   /* repl_id "": it does not tell it */
    struct repl_history point; /* of the master of the primary DC; repl_id "": not told (yet) */
    /* where the last fence of this DC left its master; "": none did */
    char fence_repl_id[REPL_ID_SIZE];
    int64_t fence_offset;
    bool is_recorded; /* this history of it, and all that it has now */
    bool is_written;  /* the record is in ZooKeeper */
    int64_t waited_ms;
    int64_t patience_ms;
};

enum diverge_verdict {
    DIVERGE_PASS,   /* it may follow */
    DIVERGE_HOLD,   /* writes to it are to be refused first */
    DIVERGE_WAIT,   /* asked again in a moment */
    DIVERGE_RECORD, /* bytes and why are to be written down */
};
/* in the record and to the console: texts are on the wire */
enum diverge_why {
    DIVERGE_COMPARED,
    DIVERGE_FENCE, /* compared with where its fence left it */
    DIVERGE_OTHER_HISTORY,
    DIVERGE_NO_POINT,
    DIVERGE_MUTE,
};
const char *diverge_why_text(enum diverge_why why);  /* "compared", "fence", ... */
const char *diverge_why_means(enum diverge_why why); /* a sentence for people */
bool diverge_why_from_text(const char *text, enum diverge_why *ret_why);

struct diverge_plan {
    enum diverge_verdict verdict;
    const char *rule; /* "V10"..., table in diverge_decide.c */
    const char *text; /* static */
    /* of RECORD, and of PASS where it was compared */
    int64_t bytes;           /* beyond; -1 unknown */
    int64_t promoted_offset; /* the last byte that both have; -1 unknown */
    enum diverge_why why;
};
void diverge_decide(const struct diverge_facts *, struct diverge_plan *ret_plan);

#endif
