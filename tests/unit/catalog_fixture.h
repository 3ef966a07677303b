/* catalog_fixture.h - a real store in a temporary folder, with zone Z, DCs jq, oy and FRA (outer name FRA-AWS), and
 * organization 8; plus one-line ways to make clusters and shards. */
#ifndef TESTS_UNIT_CATALOG_FIXTURE_H
#define TESTS_UNIT_CATALOG_FIXTURE_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/catalog/clusters.h"
#include "console/catalog/dc_binding.h"
#include "console/catalog/dcs.h"
#include "console/catalog/organizations.h"
#include "console/catalog/proxies.h"
#include "console/catalog/redises.h"
#include "console/catalog/routes.h"
#include "console/catalog/shards.h"
#include "console/catalog/snapshot.h"
#include "console/catalog/zones.h"
#include "console/store/outbox.h"
#include "shared/base/mem.h"
#include "tests/unit/unit.h"

struct world {
    char dir[64];
    char *path;
    struct store *store;
    struct dc_alias *alias;
    struct catalog cat;
    struct change_ctx ctx;
    struct catalog_result result; /* of the last change */
    struct xp_err err;            /* of the last failure */
};

#define MAY_BE_UNUSED __attribute__((unused))

/* Runs a change, keeps its result in w->result. */
#define DO(w, call_, ...)                                                                          \
    (catalog_result_done(&(w)->result), (w)->err.msg[0] = '\0',                                    \
     call_(&(w)->cat, &(w)->ctx, __VA_ARGS__, &(w)->result, &(w)->err))
#define OK(w, ...) check_done(w, DO(w, __VA_ARGS__), __FILE__, __LINE__)
#define FAILS(w, code_, text_, ...)                                                                \
    check_failed(w, DO(w, __VA_ARGS__), code_, text_, __FILE__, __LINE__)

/* With the caller's place in the test. */
MAY_BE_UNUSED static void check_done(const struct world *w, int rc, const char *file, int line)
{
    if (rc != 0) {
        print_error("%d: %s\n", rc, w->err.msg);
        _fail(file, line);
    }
}

MAY_BE_UNUSED static void check_failed(const struct world *w, int rc, int wanted, const char *text,
                                       const char *file, int line)
{
    if (rc != wanted || strcmp(w->err.msg, text) != 0) {
        print_error("%d (%s), not %d (%s)\n", rc, w->err.msg, wanted, text);
        _fail(file, line);
    }
}

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry = NULL;
    while (d && (entry = readdir(d))) {
        AUTO_FREE char *path = xasprintf("%s/%s", dir, entry->d_name);
        (void)unlink(path);
    }
    if (d) {
        (void)closedir(d);
    }
    (void)rmdir(dir);
}

static void open_store(struct world *w)
{
    struct store_options options = { .path = w->path, .readers = 2 };
    int rc = store_open(&options, &w->store, &w->err);
    if (rc != 0) {
        fail_msg("%s", w->err.msg);
    }
    w->cat.store = w->store;
}

MAY_BE_UNUSED static void reopen_store(struct world *w)
{
    store_close(w->store);
    open_store(w);
}

static void add_dc(struct world *w, const char *name)
{
    struct dc_edit edit = { .name = name, .zone_id = 1, .description = "d" };
    OK(w, dcs_create, &edit);
}

static int world_open(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/xpipe-catalog-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->path = xasprintf("%s/console.db", w->dir);
    w->ctx = (struct change_ctx){ .actor = "dba", .request_id = "r-1", .peer_ip = "10.0.0.1" };
    open_store(w);
    assert_int_equal(dc_alias_parse("{\"FRA\":\"FRA-AWS\"}", &w->alias, &w->err), 0);
    w->cat.alias = w->alias;
    OK(w, zones_create, "Z");
    add_dc(w, "jq");
    add_dc(w, "oy");
    add_dc(w, "FRA");
    struct organization_edit org = { .org_id = 8, .name = "cache" };
    OK(w, organizations_create, &org);
    *state = w;
    return 0;
}

static int world_close(void **state)
{
    struct world *w = *state;
    catalog_result_done(&w->result);
    store_close(w->store);
    dc_alias_free(w->alias);
    remove_dir(w->dir);
    free(w->path);
    free(w);
    return 0;
}

/* 'dcs': "jq,oy" */
MAY_BE_UNUSED static int try_cluster(struct world *w, const char *name, const char *type,
                                     const char *dcs)
{
    struct names list = names_split(dcs);
    struct cluster_spec spec = { .name = name,
                                 .type = type,
                                 .description = "d",
                                 .admin_emails = "dba@example.com",
                                 .has_org_id = true,
                                 .org_id = 8,
                                 .dcs = (const char *const *)list.items,
                                 .dc_count = list.count };
    int rc = DO(w, clusters_create, &spec);
    names_done(&list);
    return rc;
}

MAY_BE_UNUSED static void add_cluster(struct world *w, const char *name, const char *type,
                                      const char *dcs)
{
    if (try_cluster(w, name, type, dcs) != 0) {
        fail_msg("%s", w->err.msg);
    }
}

MAY_BE_UNUSED static void add_shard(struct world *w, const char *cluster, const char *shard,
                                    const char *dc, const char *redises)
{
    struct shard_part part = { .shard = shard, .dc = dc, .text = redises };
    struct shards_with_redises args = {
        .cluster = cluster, .parts = &part, .count = 1, .is_one_shard = true
    };
    OK(w, shards_create_with_redises, &args);
}

/* "changed demo:jq,oy deleted demo:oy" of the last change. Returns owned (free). */
MAY_BE_UNUSED static char *effects_text(const struct world *w)
{
    static const char *const kinds[] = { "changed", "deleted", "document" };
    char *text = xstrdup("");
    for (size_t i = 0; i < w->result.effects.count; i++) {
        const struct catalog_effect *e = &w->result.effects.items[i];
        AUTO_FREE char *dcs = xstrdup("");
        for (size_t j = 0; j < e->dcs.count; j++) {
            AUTO_FREE char *old = dcs;
            dcs = xasprintf("%s%s%s", old, j ? "," : "", e->dcs.items[j]);
        }
        AUTO_FREE char *old = text;
        text = xasprintf("%s%s%s %s:%s", old, i ? " " : "", kinds[e->kind], e->cluster, dcs);
    }
    return text;
}

#define ASSERT_EFFECTS(w, expected)                                                                \
    do {                                                                                           \
        AUTO_FREE char *effects_ = effects_text(w);                                                \
        assert_string_equal(effects_, expected);                                                   \
    } while (0)

#endif
