/* switch_diverged.h - what returned masters had beyond the new master when they were told to follow, until the console has it: a part of the record
 * of a shard (switch_record.h). Values only. Thread: any. */
#ifndef META_PRIMARY_SWITCH_DIVERGED_H
#define META_PRIMARY_SWITCH_DIVERGED_H

#include <jansson.h>

#include "meta/primary/diverge_decide.h"
#include "shared/base/addr.h"
#include "shared/base/clock.h"

/* A shard has one old master, or two after a failover in between. A third takes the place of one that the console knows; else it is in the log only. */
#define SWITCH_DIVERGED_MAX 2

struct switch_diverged {
    struct addr redis;
    char repl_id[REPL_ID_SIZE]; /* "" not told */
    int64_t offset;             /* -1 unknown */
    int64_t promoted_offset;    /* the last byte that the new master has, too; -1 unknown */
    int64_t bytes;              /* beyond it; -1 unknown */
    enum diverge_why why;
    bool is_told; /* the console has it, or will not take it */
    wall_ms at;
};

struct switch_diverged_list {
    struct switch_diverged items[SWITCH_DIVERGED_MAX];
    size_t count;
    size_t left_out; /* of what was decoded: not readable */
};

/* NULL: nothing is remembered of this history of it. */
struct switch_diverged *switch_diverged_find(struct switch_diverged_list *,
                                             const struct addr *redis, const char *repl_id);
/* In the place of an older one of the same history. False: there is no room. */
bool switch_diverged_add(struct switch_diverged_list *, const struct switch_diverged *);
/* Those that the console has, and that are older than 'before', go. True: there were some. */
bool switch_diverged_forget(struct switch_diverged_list *, wall_ms before);

json_t *switch_diverged_to_json(const struct switch_diverged_list *); /* an array; returns owned */
/* For a decode table: struct switch_diverged_list. Never fails: what another version of this program wrote, and we cannot read, must not cost the
 * record, which has the fence. */
int switch_diverged_decode(const json_t *value, void *ret_list, struct xp_err *err);
/* What the console is told of one: POST /api/v2/divergences. Returns owned. */
json_t *switch_diverged_news(const struct switch_diverged *, const char *dc, const char *cluster,
                             const char *shard);

#endif
