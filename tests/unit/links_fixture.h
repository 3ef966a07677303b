/* links_fixture.h - conversations (dc_links.h) in the words of either subject with one other DC, fra, whose metaserver is scripted. */
#ifndef TESTS_UNIT_LINKS_FIXTURE_H
#define TESTS_UNIT_LINKS_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "meta/links/dc_links.h"
#include "tests/unit/unit.h"

#include "tests/unit/console_script.h"

struct fixture {
    const struct dc_words *words;
    struct loop *loop;
    struct worker_pool *pool;
    struct dc_links *links;
    struct script fra;
    const char *shards[4]; /* of cluster c1, asked for in every round */
    int told_count;
    struct str told; /* "dc cluster/shard ip:port number\n" */
    int expected;
    const char *text;
};

static inline void links_each_shard(const char *dc, void (*add)(const char *, const char *, void *),
                                    void *add_arg, void *arg)
{
    const struct fixture *f = arg;
    assert_string_equal(dc, "fra");
    for (size_t i = 0; f->shards[i]; i++) {
        add("c1", f->shards[i], add_arg);
    }
}

static inline void links_on_answer(const char *dc, const struct shard_name *name,
                                   const struct dc_answer *answer, void *arg)
{
    struct fixture *f = arg;
    f->told_count++;
    str_printf(&f->told, "%s %s/%s %s %lld\n", dc, name->cluster, name->shard,
               ADDR_TEXT(&answer->addr), (long long)answer->number);
}

static inline void open_links(struct fixture *f)
{
    AUTO_FREE char *infos = xasprintf("{\"Jq\":{\"metaServerAddress\":\"http://127.0.0.1:1\"},"
                                      "\"FRA\":{\"metaServerAddress\":\"127.0.0.1:%d/\"}}",
                                      f->fra.port);
    struct dc_links_options options = {
        .loop = f->loop,
        .pool = f->pool,
        .words = f->words,
        .own_dc = "jq",
        .dcinfos = infos,
        .refresh_ms = 60000,
        .connect_timeout_ms = 500,
        .timeout_ms = 2000,
        .each_shard = links_each_shard,
        .on_answer = links_on_answer,
        .arg = f,
    };
    f->links = dc_links_new(&options);
}

/* The links themselves are opened by the test. */
static inline struct fixture *links_fixture_new(const struct dc_words *words)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->words = words;
    f->loop = loop_new();
    f->told = STR_INIT(1 << 20);
    script_init(&f->fra, f->loop);
    AUTO_FREE char *nothing = xasprintf("{\"%s\":[]}", words->rows);
    script_answer(&f->fra, 200, nothing);
    f->pool = worker_pool_new(f->loop, "peers", 2, 100, NULL, NULL, NULL);
    return f;
}

static inline int links_fixture_free(void **state)
{
    struct fixture *f = *state;
    script_stop(&f->fra);
    worker_pool_free(f->pool);
    dc_links_free(f->links);
    script_done(&f->fra);
    str_done(&f->told);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* ---- conditions ---- */

static inline bool has_told(void *arg)
{
    const struct fixture *f = arg;
    return f->told_count >= f->expected;
}

static inline bool has_requests(void *arg)
{
    const struct fixture *f = arg;
    return f->fra.requests >= f->expected;
}

static inline bool has_seen(void *arg)
{
    const struct fixture *f = arg;
    return strstr(str_text(&f->fra.seen), f->text) != NULL;
}

/* 'text' NULL: any but "". */
static inline bool link_has(const struct fixture *f, const char *key, const char *text)
{
    json_t *all = dc_links_json(f->links);
    const char *value = json_string_value(json_object_get(json_object_get(all, "fra"), key));
    bool has = value && (text ? strcmp(value, text) == 0 : value[0] != '\0');
    json_decref(all);
    return has;
}

static inline bool has_error(void *arg)
{
    return link_has(arg, "lastError", NULL);
}

static inline bool is_java(void *arg)
{
    return link_has(arg, "kind", "java");
}

static inline void wait_for(struct fixture *f, bool (*cond)(void *), int expected)
{
    f->expected = expected;
    assert_true(script_wait(&f->fra, cond, f, SCRIPT_LIMIT_MS));
}

static inline void wait_seen(struct fixture *f, const char *text)
{
    f->text = text;
    assert_true(script_wait(&f->fra, has_seen, f, SCRIPT_LIMIT_MS));
}

/* What is refused as a whole: an error each time, and nobody is told anything. */
static inline void check_refused(struct fixture *f, const char *const *answers, size_t count)
{
    f->shards[0] = "s1";
    for (size_t i = 0; i <= count; i++) {
        bool is_last = i == count;
        script_answer(&f->fra, is_last ? 500 : 200, is_last ? "{}" : answers[i]);
        open_links(f);
        wait_for(f, has_error, 0);
        dc_links_free(TAKE(f->links));
    }
    assert_int_equal(f->told_count, 0);
    assert_int_equal(f->fra.requests, count + 1);
}

#endif
