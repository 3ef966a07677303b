/* source_choose.h - what the tree of a shard in this DC pulls from ("keeper master" of x-pipe): a pure decision (metaserver.md
 * 6.3.4).
 *
 * In the primary DC: its Redis master, by ROLE. Exactly one observed master is it, unless the current one is silent only to us: a
 * replica whose link to it is up hears it. Several: the current one if among them, an alert,
 * never a switch. None: the current one stays; unknown, and every Redis answered as a replica: the first of the document, with an
 * alert, so that keepers have something to pull from. Silence is not an answer (D8).
 * In a backup DC: what the metaserver of the primary DC told last; nothing told keeps what was known. An address that is one of
 * our own instances of the shard is refused: it would be a loop. Thread: any. */
#ifndef META_KEEPERS_SOURCE_CHOOSE_H
#define META_KEEPERS_SOURCE_CHOOSE_H

#include "meta/keepers/tree_facts.h"

enum source_verdict {
    SOURCE_KEEP,    /* as it is, observed or told */
    SOURCE_CHANGE,  /* take 'addr' */
    SOURCE_UNKNOWN, /* nothing is known: no command that needs a source */
    SOURCE_NONE,    /* no master answers: the current one stays */
    SOURCE_SEVERAL, /* more than one: the current one stays */
    SOURCE_LOOP,    /* told: one of our own instances; refused, the current one stays */
};

struct source_choice {
    enum source_verdict verdict;
    struct addr addr; /* with SOURCE_CHANGE */
    int masters;      /* observed */
    int silent;       /* Redis without a fresh answer */
    const char *rule; /* "S10"..., table in source_choose.c */
};

void source_choose(const struct tree_facts *facts, struct source_choice *ret_choice);
const char *source_verdict_text(enum source_verdict verdict);

#endif
