/* relay_choose.h - which Redis of a backup DC without keepers follows the primary DC, the others behind it: a pure decision (D11).
 *
 * The one that does it already stays: the remembered relay when it still answers, else the Redis that is seen to follow the
 * source (most followers, then highest offset, then order of the document). It is replaced when it is silent, its link is down,
 * or it is behind for too long (tree_facts: relay_*), and another Redis answers that is not worse: most advanced offset, then order
 * of the document. One that is in a full synchronisation with the source is not replaced. Nobody is moved while the source is not known
 * or a route applies. Nobody answers: the remembered one, or none. Thread: any. */
#ifndef META_KEEPERS_RELAY_CHOOSE_H
#define META_KEEPERS_RELAY_CHOOSE_H

#include "meta/keepers/tree_facts.h"

struct relay_choice {
    int index;        /* into facts->nodes; -1: none */
    const char *rule; /* "L10"..., table in relay_choose.c */
    bool is_moved;    /* another one than facts->relay, which was known */
};

void relay_choose(const struct tree_facts *facts, struct relay_choice *ret_choice);

#endif
