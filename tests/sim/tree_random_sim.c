/* tree_random_sim.c - the duty of a one-way shard under random trouble, many seeds: whatever happens, no command without permission,
 * none that closes a loop (fake_tree_world.h has all of it), and when the trouble ends the tree is right within the time of a
 * reconnect, a container's pause and two polls. Seeds: seeds.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/dice.h"
#include "tests/sim/fake_tree_world.h"
#include "tests/sim/seeds.h"

#include "shared/base/banned.h"

#define SEEDS      300
#define EVENTS     60
#define HEALING_MS 45000 /* reconnect 12 s, container 10 s, settling 15 s, polls */

static struct fake_replica *any(struct tree_world *w, struct dice *d)
{
    size_t i = dice_roll(d, TREE_REDISES + TREE_KEEPERS);
    return i < TREE_REDISES ? &w->redis[i] : &w->keeper[i - TREE_REDISES];
}

static void tell_something(struct tree_world *w, struct dice *d)
{
    static const char *const heads[] = { "10.0.2.9", "10.0.2.8", "10.0.2.9", "10.0.2.8" };
    if (dice_chance(d, 80)) {
        tree_world_tell(w, heads[dice_roll(d, ARRAY_LEN(heads))]);
    } else if (tree_world_duty(w)) {
        tree_duty_upstream_told(tree_world_duty(w), "oy", &w->redis[0].addr, -1); /* a loop */
    }
}

static void publish_something(struct tree_world *w, struct dice *d)
{
    static const char *const routes[] = { NULL, NULL, TREE_ROUTE, "nonsense '|" };
    static const char *const status[] = { "Normal", "Normal", "Normal", "Migrating", "Lock" };
    static const char *const dcs[] = { NULL, NULL, NULL, "fra" };
    w->route = routes[dice_roll(d, ARRAY_LEN(routes))];
    w->status = status[dice_roll(d, ARRAY_LEN(status))];
    w->active_dc = dcs[dice_roll(d, ARRAY_LEN(dcs))];
    w->is_primary = dice_chance(d, 25);
    w->redis_count = (int)dice_between(d, 1, TREE_REDISES);
    w->keeper_count = (int)dice_between(d, 0, TREE_KEEPERS);
    w->sentinels = dice_chance(d, 20) ? "10.0.9.1:5000" : NULL;
    w->is_cluster_gone = dice_chance(d, 5);
    for (size_t i = 0; i < TREE_KEEPERS; i++) {
        w->priority[i] = (int)dice_between(d, 0, 2);
    }
    tree_world_publish(w);
}

static void point_somewhere(struct tree_world *w, struct dice *d)
{
    struct fake_replica *r = any(w, d);
    struct addr target = dice_chance(d, 20) ? addr_of("10.9.9.9", 6379) : any(w, d)->addr;
    r->sync_ms = dice_chance(d, 20) ? dice_between(d, 1, 5000) : 0;
    tree_world_point(w, r, dice_chance(d, 40) ? NULL : &target);
}

static void disturb_replica(struct tree_world *w, struct dice *d)
{
    struct fake_replica *r = any(w, d);
    r->changed_at = clock_mono_ms();
    switch (dice_roll(d, 7)) {
    case 0:
        tree_world_kill(w, r);
        break;
    case 1:
        tree_world_revive(w, r);
        break;
    case 2:
        fake_redis_set(NULL, &r->addr,
                       r->is_up ? (enum fake_redis_mode)dice_roll(d, FAKE_REDIS_REPLY_SILENT + 1)
                                : FAKE_REDIS_REFUSES);
        break;
    case 3:
        r->trick = (enum fake_replica_trick)dice_roll(d, FAKE_REPLICA_HANGS + 1);
        break;
    case 4:
        r->is_loading = dice_chance(d, 30);
        break;
    case 5:
        r->has_xslaveof = dice_chance(d, 50);
        break;
    default:
        r->offset = dice_between(d, 0, 100000);
        r->priority = (int)dice_between(d, 0, 2);
        r->has_kept_priority = true; /* by hand: seen within a minute only */
        break;
    }
}

static void disturb_shard(struct tree_world *w, struct dice *d)
{
    switch (dice_roll(d, 7)) {
    case 0:
        tree_world_permit(w, dice_chance(d, 60));
        break;
    case 1:
        tree_world_latency(w, dice_between(d, 2, 500));
        break;
    case 2:
        tree_world_own(w, dice_chance(d, 70));
        break;
    case 3:
        if (tree_world_duty(w)) {
            tree_duty_suspend(tree_world_duty(w),
                              dice_chance(d, 50) ? 0 : dice_between(d, 1, 10000));
        }
        break;
    case 4:
        w->is_far_up = dice_chance(d, 70);
        break;
    case 5:
        w->tree_env.failover = dice_chance(d, 50) ? FAILOVER_AUTO : FAILOVER_REPORT;
        w->placed_at = clock_mono_ms();
        break;
    default:
        fake_services.fails_calls = dice_chance(d, 30);
        w->starts_keepers = dice_chance(d, 80);
        w->has_containers = dice_chance(d, 80);
        break;
    }
}

static void disturb(struct tree_world *w, struct dice *d)
{
    switch (dice_roll(d, 8)) {
    case 0:
        tell_something(w, d);
        break;
    case 1:
        publish_something(w, d);
        break;
    case 2:
    case 3:
        point_somewhere(w, d);
        break;
    case 4:
        disturb_shard(w, d);
        break;
    default:
        disturb_replica(w, d);
        break;
    }
}

static void heal_replica(struct fake_replica *r)
{
    r->trick = FAKE_REPLICA_HONEST;
    r->is_loading = false;
    r->sync_ms = 0;
    r->sync_until = MONO_NEVER;
    r->changed_at = clock_mono_ms();
    fake_redis_set(NULL, &r->addr, r->is_up ? FAKE_REDIS_UP : FAKE_REDIS_REFUSES);
}

/* Keepers that are down are started by their containers, Redis by people. */
static void heal(struct tree_world *w, struct dice *d)
{
    for (size_t i = 0; i < TREE_REDISES; i++) {
        heal_replica(&w->redis[i]);
        heal_replica(&w->keeper[i]);
        tree_world_revive(w, &w->redis[i]);
    }
    tree_world_latency(w, FAKE_REDIS_LATENCY_MS);
    w->status = "Normal";
    w->active_dc = NULL;
    w->sentinels = NULL;
    w->is_primary = dice_chance(d, 40);
    w->redis_count = (int)dice_between(d, 1, TREE_REDISES);
    w->keeper_count = (int)dice_between(d, 0, TREE_KEEPERS);
    w->route = w->keeper_count > 0 && dice_chance(d, 50) ? TREE_ROUTE : NULL;
    w->is_cluster_gone = false;
    w->has_containers = w->starts_keepers = w->is_far_up = true;
    fake_services.fails_calls = false;
    for (size_t i = 0; i < TREE_REDISES; i++) {
        w->priority[i] = 1;
        if (w->is_primary) { /* a people's failover */
            tree_world_point(w, &w->redis[i], i == 0 ? NULL : &w->redis[0].addr);
        }
    }
    tree_world_own(w, true);
    tree_world_permit(w, true);
    tree_world_publish(w);
    tree_world_pass(w, 3000); /* a command of before may be on its way; its duty leaves then */
    if (tree_world_duty(w)) {
        tree_duty_suspend(tree_world_duty(w), 0);
    }
    tree_world_tell(w, "10.0.2.7");
}

static int priorities(const struct tree_world *w)
{
    int count = 0;
    for (size_t i = 0; i < TREE_REDISES; i++) {
        count += w->redis[i].priorities;
    }
    return count;
}

/* Who keeps its priority is asked again in ten minutes only. */
static bool may_one_be_promoted(const struct tree_world *w)
{
    bool is_any = false;
    for (int i = 0; !w->is_primary && w->keeper_count == 0 && i < w->redis_count; i++) {
        is_any |= w->redis[i].priority != 0 && !w->redis[i].has_kept_priority;
    }
    return is_any;
}

/* Returns what went wrong, or NULL. */
static const char *run_seed(uint64_t seed)
{
    struct tree_world w;
    struct dice dice = { .state = seed };
    tree_world_init(&w);
    w.tree_env.keeper_retry_max_ms = 10000;
    w.env.backoff_first_ms = 3000;
    w.env.backoff_max_ms = 6000;
    tree_world_open(&w);
    tree_world_tell(&w, TREE_FAR_HEAD);
    for (int i = 0; i < EVENTS; i++) {
        disturb(&w, &dice);
        tree_world_pass(&w, (int64_t)dice_roll(&dice, 2500));
        if (tree_world_duty(&w)) {
            (void)tree_world_text(&w, "plan"); /* may be asked at any time */
        }
    }
    heal(&w, &dice);
    tree_world_pass(&w, HEALING_MS);
    const char *failure = tree_world_missing(&w);
    if (failure && getenv("SIM_LOG")) {
        (void)fprintf(stderr, "%s\n", tree_world_text(&w, "plan"));
    }
    int sent = tree_world_commands(&w) + priorities(&w);
    tree_world_pass(&w, 70000);
    if (!failure && tree_world_commands(&w) + priorities(&w) != sent) {
        failure = "commands go on although the tree is right";
    }
    if (!failure && may_one_be_promoted(&w)) {
        failure = "a Redis of the backup DC may be promoted by sentinels";
    }
    if (w.violations > 0) {
        failure = "a command was sent that must not be";
    }
    tree_world_close(&w);
    return failure;
}

int main(int argc, char **argv)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_LEVELS);
    return seeds_main(argc, argv, SEEDS, run_seed);
}
