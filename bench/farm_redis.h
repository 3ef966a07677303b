/* farm_redis.h - one instance of the farm; of a CRDT Redis its peers as they are and as they should be, and the texts it answers with.
 *
 * In a farm of one-way shards the instances are plain Redis and keepers: 'node' (farm_node.h) takes the place of the peers.
 *
 * No I/O and no clock: the server (farm_server.c) passes the time in. A peer is "right" when it equals what the script
 * wants; break takes it away from there, the PEEROF that brings it back is a correction and ends the time it was wrong.
 * Links are simulated: a change of the peer takes the link down, FARM_LINK_UP_MS later it is up (crdt-redis.md 2.3, 3.2).
 * Owner: the loop of the farm. */
#ifndef BENCH_FARM_REDIS_H
#define BENCH_FARM_REDIS_H

#include <netinet/in.h>

#include "bench/farm_node.h"

#define FARM_GID_MAX    15
#define FARM_LINK_UP_MS 1000
/* A metaserver that finds a peer wrong right after it was told OK takes that for a fight with somebody else and pauses, as it
 * should: the time of a correction is measured on instances that were left alone before. */
#define FARM_REST_MS 5000

struct farm_peer {
    bool is_set;
    char host[INET_ADDRSTRLEN];
    int port;
    char *servers; /* owned; NULL: direct */
    char *params;  /* owned; NULL: none */
    mono_ms up_at; /* the link is up from then on */
};

struct farm_redis {
    size_t number;          /* of the shard, and of the address in its net */
    size_t index;           /* in the shard: net of the farm + index; CRDT: 0 */
    bool is_gone;           /* killed: closes every connection at once */
    struct farm_node *node; /* owned; NULL: a CRDT Redis */
    int gid;
    bool is_slave;
    size_t fault; /* index of farm_faults; 0: none */
    int64_t delay_ms;
    bool was_polled;
    mono_ms broken_at;        /* MONO_NEVER: every peer is right */
    mono_ms mended_at;        /* MONO_NEVER: not yet; for FARM_REST_MS it is not broken again */
    struct farm_peer *actual; /* by gid; owned; NULL: no CRDT Redis */
    struct farm_peer *wanted;
    /* CRDT.INFO replication as last built; its counters are written over in place */
    struct str info;
    size_t offset_at;
    size_t last_io_at; /* 0: no peer is up */
    mono_ms stale_at;  /* a link comes up then */
    uint32_t answers;
    /* who talks to it, as numbers of farm_clients.c */
    uint8_t owner;     /* introduced itself last */
    mono_ms owner_at;  /* turn of the loop in which it did */
    uint8_t poller;    /* polled last */
    bool is_lost;      /* waits for a poll of another one */
    int64_t polled_us; /* 0: never */
    int64_t gap_us;    /* longest time between two polls */
    int64_t served_us; /* from the loss to that poll; 0: was not lost */
};

/* Address of instance 'number': 127.NET.(number / 250).(1 + number % 250). */
void farm_host(int net, size_t number, char *ret_host, size_t size);

struct farm_peer_spec {
    int gid;
    int net;
    int port;
    const char *servers; /* NULL: direct */
    const char *params;
};

void farm_redis_init(struct farm_redis *, size_t number, int gid);
void farm_redis_init_node(struct farm_redis *, size_t number, size_t index, bool is_keeper);
void farm_redis_done(struct farm_redis *);
/* The peer is wanted, is there and is up. */
void farm_redis_give_peer(struct farm_redis *, const struct farm_peer_spec *);
/* The peer is wanted so from now on, and is not: a master of another DC moved. */
void farm_redis_want_peer(struct farm_redis *, const struct farm_peer_spec *, mono_ms now);

enum farm_break { FARM_REMOVE, FARM_ENDPOINT, FARM_DIRECT };
/* Spoils one wanted peer, chosen by 'random'. False: there is none, one is wrong already, or was just mended. */
bool farm_redis_break(struct farm_redis *, enum farm_break how, uint64_t random, mono_ms now);
bool farm_redis_is_right(const struct farm_redis *);

/* A gid that kills real servers, an impossible port, a removal of a wanted peer, or a proxied peer sent direct. */
bool farm_redis_is_harmful(const struct farm_redis *, size_t argc, char *const *argv);
/* Carries a PEEROF out; returns the reply as it goes on the wire. */
const char *farm_redis_peerof(struct farm_redis *, size_t argc, char *const *argv, mono_ms now);
/* The text of CRDT.INFO replication, with counters that differ from every answer before. */
const struct str *farm_redis_info(struct farm_redis *, mono_ms now);

#endif
