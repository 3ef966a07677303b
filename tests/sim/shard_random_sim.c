/* shard_random_sim.c - the duty of one shard under random trouble, many seeds: whatever happens, no Redis gets a command that
 * damages it, none goes to a node that is no master or without permission, and when the trouble ends the peers are right within
 * the time of a reconnect and two polls. Seeds: seeds.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/dice.h"
#include "tests/sim/fake_shard_world.h"
#include "tests/sim/seeds.h"

#include "shared/base/banned.h"

#define SEEDS        300
#define EVENTS       60
#define RECONNECT_MS 12000 /* the longest back-off, a connect, a silent command */

static void tell_something(struct world *w, struct dice *d)
{
    static const int gids[] = { 2, 2, 2, 3, 3, 3, 0, 1, 16, -7, 1000000000 };
    static const char *const ips[] = { "10.0.2.1", "10.0.3.1",   "10.0.2.2", "10.0.3.2",
                                       "10.0.1.1", "redis.name", "no",       "10.0.1.2" };
    world_tell(w, dice_roll(d, 2) ? "oy" : "fra", ips[dice_roll(d, ARRAY_LEN(ips))],
               gids[dice_roll(d, ARRAY_LEN(gids))]);
}

static void publish_something(struct world *w, struct dice *d)
{
    static const char *const routes[] = {
        "",
        "PROXYTCP://10.9.0.1:80",
        "PROXYTCP://10.9.0.1:80,PROXYTCP://10.9.0.2:80 PROXYTLS://10.8.0.1:443",
        "PROXYTCP://10.9.0.2:80,PROXYTCP://10.9.0.1:80 PROXYTLS://10.8.0.1:443",
        "PROXYTLS://10.9.0.1:443",
        "nonsense '|",
    };
    static const char *const dcs[] = { "jq,oy,fra", "jq,oy,fra", "jq,fra", "jq", "jq,oy,fra,sha" };
    static const char *const status[] = { "Normal", "Normal", "Normal", "Migrating", "Lock" };
    (void)snprintf(w->route, sizeof(w->route), "%s", routes[dice_roll(d, ARRAY_LEN(routes))]);
    (void)snprintf(w->dcs, sizeof(w->dcs), "%s", dcs[dice_roll(d, ARRAY_LEN(dcs))]);
    w->status = status[dice_roll(d, ARRAY_LEN(status))];
    world_publish(w);
}

static void disturb_redis(struct world *w, struct dice *d)
{
    static const char *const versions[] = { "1.0.22", "1.0.22", "1.0.14", "1.0.12",
                                            "1.0.3",  "x",      NULL };
    struct fake_crdt *r = &w->redis[dice_roll(d, WORLD_REDISES)];
    switch (dice_roll(d, 9)) {
    case 0:
    case 1:
        fake_crdt_set_role(r, dice_roll(d, 2));
        break;
    case 2:
        fake_redis_set(NULL, &r->addr,
                       (enum fake_redis_mode)dice_roll(d, FAKE_REDIS_REPLY_SILENT + 1));
        break;
    case 3:
        r->trick = (enum fake_crdt_trick)dice_roll(d, FAKE_CRDT_HANGS + 1);
        break;
    case 4:
        fake_redis_set(NULL, &r->addr, FAKE_REDIS_REFUSES);
        fake_crdt_restart(r);
        r->version = versions[dice_roll(d, ARRAY_LEN(versions))];
        break;
    case 5:
        r->gid = (int)dice_roll(d, 4) == 0 ? 4 : 1;
        break;
    case 6:
        r->is_backstreaming = dice_roll(d, 2);
        break;
    case 7:
        r->demote_after_info = true;
        break;
    default: {
        struct addr addr = addr_of("10.0.9.9", 6379);
        fake_crdt_put(r, 2 + (int)dice_roll(d, 5), &addr, NULL, NULL);
        break;
    }
    }
}

static void disturb(struct world *w, struct dice *d)
{
    switch (dice_roll(d, 8)) {
    case 0:
    case 1:
        tell_something(w, d);
        break;
    case 2:
        publish_something(w, d);
        break;
    case 3:
        world_permit(w, dice_roll(d, 2));
        break;
    case 4:
        world_suspend(w, dice_roll(d, 2) ? 0 : (int64_t)dice_roll(d, 20000));
        break;
    case 5:
        world_latency(w, 2 + (int64_t)dice_roll(d, 600));
        break;
    default:
        disturb_redis(w, d);
        break;
    }
}

static void heal(struct world *w)
{
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        struct fake_crdt *r = &w->redis[i];
        fake_crdt_set_role(r, i == 0);
        fake_redis_set(NULL, &r->addr, FAKE_REDIS_REFUSES);
        r->version = "1.0.22";
        r->trick = FAKE_CRDT_HONEST;
        r->gid = 1;
        r->is_backstreaming = false;
        r->demote_after_info = false;
    }
    world_latency(w, FAKE_REDIS_LATENCY_MS);
    world_pass(w, 1000);
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        fake_redis_set(NULL, &w->redis[i].addr, FAKE_REDIS_UP);
    }
    w->route[0] = '\0';
    (void)snprintf(w->dcs, sizeof(w->dcs), "jq,oy,fra");
    w->status = "Normal";
    world_publish(w);
    world_permit(w, true);
    world_suspend(w, 0);
    world_tell(w, "oy", "10.0.2.7", 2);
    world_tell(w, "fra", "10.0.3.7", 3);
}

static bool is_right(const struct world *w)
{
    return world_has_peer(w, &w->redis[0], 2, "10.0.2.7") &&
           world_has_peer(w, &w->redis[0], 3, "10.0.3.7");
}

/* Returns what went wrong, or NULL. */
static const char *run_seed(uint64_t seed)
{
    struct world w;
    struct dice dice = { .state = seed };
    const char *failure = NULL;
    world_open(&w);
    world_tell_all(&w);
    for (int i = 0; i < EVENTS; i++) {
        disturb(&w, &dice);
        world_pass(&w, (int64_t)dice_roll(&dice, 2500));
        json_decref(world_state(&w)); /* may be asked at any time */
    }
    heal(&w);
    world_pass(&w, RECONNECT_MS + 2 * w.env.poll_ms);
    if (!is_right(&w)) {
        failure = "the peers are not right after healing";
    }
    int sent = world_peerofs(&w);
    world_pass(&w, 30000);
    if (!failure && world_peerofs(&w) != sent) {
        failure = "commands go on although the peers are right";
    }
    if (w.violations > 0) {
        failure = "a command was sent that must not be";
    }
    world_close(&w);
    return failure;
}

int main(int argc, char **argv)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_ERROR);
    return seeds_main(argc, argv, SEEDS, run_seed);
}
