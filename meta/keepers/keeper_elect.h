/* keeper_elect.h - which keepers of a shard live, and which one is active: a pure decision (metaserver.md 6.3.2).
 *
 * In: the children of both election paths in ZooKeeper, as read; the keepers of the document. Out: the surviving keepers in the
 * order of ZooKeeper (cluster/shard path first, then repl_), and the active one: highest priority above 0, ties by that
 * order, so the longest-living one stays and nothing fails back. A child whose data cannot be read, or that names no address, is
 * skipped and counted; an address that is there twice counts once. No keeper left is an empty list, never the old one. Thread: any. */
#ifndef META_KEEPERS_KEEPER_ELECT_H
#define META_KEEPERS_KEEPER_ELECT_H

#include <stdint.h>

#include "shared/model/dc_meta.h"

#define SHARD_KEEPERS_MAX 16 /* of one shard in one DC; more is a metadata error and logged */

enum election_path {
    ELECTION_BY_SHARD /* cluster_<id>/shard_<id> */,
    ELECTION_BY_REPL /* repl_<id> */
};

struct keeper_child { /* one latch node */
    enum election_path path;
    const char *name; /* "_c_<uuid>-latch-<10 digits>"; ordered by what follows "latch-" */
    const char *data; /* JSON of the keeper, as read */
    size_t length;
};

struct live_keeper {
    struct addr addr;
    char run_id[41];      /* "" unknown */
    int64_t container_id; /* from the document by address; 0: not in the document */
    int64_t priority;     /* from the document; 1 when it is not there */
    bool is_in_meta;
};

struct keeper_election {
    struct live_keeper keepers[SHARD_KEEPERS_MAX];
    size_t count;
    int active;     /* index; -1: none is electable */
    int unreadable; /* children skipped */
    int ignored;    /* beyond SHARD_KEEPERS_MAX */
};

/* 'children' in any order. */
void keeper_elect(const struct keeper_child *children, size_t count, const struct shard_meta *shard,
                  struct keeper_election *ret_election);
/* The same living keepers under other metadata. */
void keeper_elect_again(const struct keeper_election *known, const struct shard_meta *shard,
                        struct keeper_election *ret_election);
bool keeper_election_eq(const struct keeper_election *a, const struct keeper_election *b);

#endif
