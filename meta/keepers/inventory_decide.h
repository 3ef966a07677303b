/* inventory_decide.h - keepers that a container of this DC has and the DC document does not want there: what is to be done about
 * each. A pure decision (rules in inventory_decide.c).
 *
 * A removal deletes a keeper with its data, so everything that is not known speaks for leaving it: a document that is old, held back
 * or from the disk; a cluster in migration; a keeper that no document of ours ever had. A container keeps one keeper a shard and
 * removes by the shard alone, whatever the port: where the document wants a keeper of the shard on that container, none is
 * removed from it. Thread: any. */
#ifndef META_KEEPERS_INVENTORY_DECIDE_H
#define META_KEEPERS_INVENTORY_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/clock.h"
#include "shared/base/str.h"

enum orphan_mode {
    ORPHANS_OFF,    /* containers are not asked */
    ORPHANS_REPORT, /* nothing is removed */
    ORPHANS_KNOWN,  /* what a document of ours had */
    ORPHANS_REMOVE, /* and what none had: only where no other console uses the containers */
};

/* clang-format off */
#define ORPHAN_VERDICTS(X) X(WANTED, "wanted") X(WAITS, "waits") X(REPORTED, "reported") X(REMOVED, "removed")
/* clang-format on */
#define ORPHAN_VERDICT_ENUM(name, text) ORPHAN_##name,
enum orphan_verdict { ORPHAN_VERDICTS(ORPHAN_VERDICT_ENUM) };
const char *orphan_verdict_text(enum orphan_verdict);

/* One keeper that a container listed. */
struct inventory_item {
    bool is_wanted;        /* the document has this shard with a keeper at this address */
    bool is_shard_present; /* the document has the shard */
    bool is_place_wanted;  /* and a keeper of it on this container, at whatever port */
    bool was_ours;         /* a document of ours had this keeper of this shard */
    bool is_migrating;     /* its cluster */
    bool is_owned;         /* its slot is ours under a valid lease, and we may command */
    bool is_settled;       /* every keeper that the document has of its shard lives, for a while */
    mono_ms first_seen;    /* as one that is not wanted, without a gap since */
    int rounds;            /* in which it was seen so */
};

struct inventory_facts {
    mono_ms now;
    mono_ms confirmed_at; /* the document, by the console; MONO_NEVER: from the disk */
    int held;             /* changes of the document that wait for an operator */
    int problems;         /* clusters of the document that cannot be read */
    const struct inventory_item *items;
    size_t count;
    /* settings */
    enum orphan_mode mode;
    int64_t fresh_ms; /* how old a confirmation may be */
    int64_t grace_ms;
    int rounds; /* at least so many */
    int limit;  /* removals of one round */
};

struct inventory_outcome {
    enum orphan_verdict verdict;
    const char *rule; /* "N10".. */
    const char *why;  /* static */
};

/* 'ret_outcomes' has room for facts->count. Items come in the order in which they are to be removed. */
void inventory_decide(const struct inventory_facts *facts, struct inventory_outcome *ret_outcomes);
void inventory_print(const struct inventory_outcome *outcomes, size_t count, struct str *out);

#endif
