/* action_record.h - what was last done to a Redis, a keeper or a peer, for people. Owner: loop; whoever holds the pointer owns it. */
#ifndef META_SHARDS_ACTION_RECORD_H
#define META_SHARDS_ACTION_RECORD_H

#include <jansson.h>

#include "shared/base/clock.h"

struct action_record {
    wall_ms at;
    const char *rule; /* static */
    char *command;
    char *reply;
};

/* Now. Replaces what is there; '*record' NULL: nothing was done yet. */
void action_record_set(struct action_record **record, const char *rule, const char *command,
                       const char *reply);
void action_record_free(struct action_record *);             /* NULL is fine */
json_t *action_record_to_json(const struct action_record *); /* null for NULL; returns owned */

#endif
