/* app_switch.h - the part of app.c that wires the switchovers of one-way shards. Thread: as app.c. */
#ifndef META_APP_SWITCH_H
#define META_APP_SWITCH_H

#include "meta/app.h"
#include "meta/primary/remote_fence.h"
#include "meta/primary/shard_switch.h"

/* what members ask each other: when the console was heard */
#define APP_HEARD_PATH "/api/meta/v2/heard"

void app_switch_make(struct app *); /* after the store and the common duty_env, before the shards */
void app_switch_session(struct app *); /* ZooKeeper can be read: after each SHARDING_READY */
void app_switch_watch(struct app *);   /* after the shards are made */
void app_switch_settings(struct app *);
void app_switch_console_answered(mono_ms asked_at, void *app); /* dc_fetch_options.on_answer */
/* What the duties ask (duty_env.stance), and tell (tree_env.on_stray, may_discard, on_lost). */
enum duty_stance app_switch_stance(const struct duty *, void *app);
void app_switch_stray(const struct duty *, const struct addr *master, void *app);
int app_switch_may_discard(const struct duty *, const struct tree_discard *, void *app,
                           struct xp_err *err) XP_MUST_CHECK;
void app_switch_lost(const struct duty *, void *app);
bool app_switch_is_quiet(const struct app *, int slot); /* -1: in any */
/* After the shards are freed, before the ZooKeeper session is. */
void app_switch_free(struct app *);

#endif
