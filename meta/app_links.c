/* app_links.c - see app_links.h. */
#include "meta/app_links.h"

#include "meta/keepers/upstream_words.h"
#include "meta/peers/master_words.h"

#include "shared/base/banned.h"

/* ---- who is asked about ---- */

struct asked_shards {
    bool (*is_asked)(struct duty *, const char *dc);
    const char *dc;
    void (*add)(const char *cluster, const char *shard, void *add_arg);
    void *add_arg;
};

static void add_if_asked(struct duty *duty, void *arg)
{
    const struct asked_shards *asked = arg;
    if (asked->is_asked(duty, asked->dc)) {
        asked->add(duty->cluster->name, duty->shard, asked->add_arg);
    }
}

static bool has_peer(struct duty *base, const char *dc)
{
    const struct shard_duty *duty = shard_duty_of(base);
    return duty && shard_duty_has_peer(duty, dc);
}

static void each_peer(const char *dc, void (*add)(const char *, const char *, void *),
                      void *add_arg, void *arg)
{
    const struct app *app = arg;
    struct asked_shards asked = { has_peer, dc, add, add_arg };
    shard_set_each(app->shards, add_if_asked, &asked);
}

static bool pulls_from(struct duty *base, const char *dc)
{
    const struct tree_duty *duty = tree_duty_of(base);
    return duty && tree_duty_pulls_from(duty, dc);
}

static void each_upstream(const char *dc, void (*add)(const char *, const char *, void *),
                          void *add_arg, void *arg)
{
    const struct app *app = arg;
    struct asked_shards asked = { pulls_from, dc, add, add_arg };
    shard_set_each(app->shards, add_if_asked, &asked);
}

/* ---- what they say ---- */

static void on_master(const char *dc, const struct shard_name *name, const struct dc_answer *answer,
                      void *arg)
{
    const struct app *app = arg;
    struct shard_duty *duty =
        shard_duty_of(shard_set_find(app->shards, name->cluster, name->shard));
    struct current_master master = { .addr = answer->addr, .gid = (int)answer->number };
    if (duty) {
        shard_duty_peer_told(duty, dc, &master);
    }
}

static void on_upstream(const char *dc, const struct shard_name *name,
                        const struct dc_answer *answer, void *arg)
{
    const struct app *app = arg;
    struct tree_duty *duty = tree_duty_of(shard_set_find(app->shards, name->cluster, name->shard));
    if (duty) {
        tree_duty_history_told(duty, dc, &answer->history);
        tree_duty_upstream_told(duty, dc, &answer->addr, answer->number);
    }
}

/* ---- life ---- */

void app_links_make(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct dc_links_options options = {
        .loop = app->loop,
        .pool = app->peer_pool,
        .own_dc = app->dc,
        .dcinfos = c->dcinfos,
        .connect_timeout_ms = c->dc_connect_timeout_ms,
        .timeout_ms = c->dc_timeout_ms,
        .arg = app,
    };
    options.words = &master_words;
    options.refresh_ms = c->peer_refresh_ms;
    options.each_shard = each_peer;
    options.on_answer = on_master;
    app->links = dc_links_new(&options);
    options.words = &upstream_words;
    options.refresh_ms = c->upstream_refresh_ms;
    options.each_shard = each_upstream;
    options.on_answer = on_upstream;
    app->upstreams = dc_links_new(&options);
}

void app_links_settings(struct app *app)
{
    dc_links_set_periods(app->links, app->config.peer_refresh_ms);
    dc_links_set_periods(app->upstreams, app->config.upstream_refresh_ms);
}

void app_links_free(struct app *app)
{
    dc_links_free(app->links);
    dc_links_free(app->upstreams);
}
