/* bi_tell.c - see bi_tell.h. */
#include "console/migration/bi_tell.h"

#include <stdlib.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

struct telling {
    struct outer_client *outer;
    struct bi_asker *asker;
    struct bi_exclusions *exclusions;
    size_t at;      /* is being told now */
    int waiting;    /* for all to be told, and for the links before */
    json_t *before; /* links of each cluster; NULL: nobody was asked */
    bi_tell_done_fn *done;
    void *arg;
};

/* ---- the end ---- */

static void end(struct telling *t)
{
    bi_tell_done_fn *done = t->done;
    void *arg = t->arg;
    json_decref(t->before);
    free(t);
    done(arg);
}

static json_t *of_cluster(const json_t *list, size_t at)
{
    json_t *links = json_array_get(list, at);
    return links ? json_incref(links) : json_null();
}

static void have_after(json_t *links, void *arg)
{
    struct telling *t = arg;
    for (size_t i = 0; i < t->exclusions->count; i++) {
        struct bi_exclusion *item = &t->exclusions->items[i];
        json_auto_t *both =
            json_pack("{s:o, s:o, s:o}", "cluster", jd_text(item->cluster), "before",
                      of_cluster(t->before, i), "after", of_cluster(links, i));
        bool is_known = !json_is_null(json_object_get(both, "before")) ||
                        !json_is_null(json_object_get(both, "after"));
        item->links = is_known ? json_dumps(both, JSON_COMPACT) : NULL;
    }
    end(t);
}

static void let_go(struct telling *t)
{
    if (--t->waiting > 0) {
        return;
    }
    if (t->asker) {
        bi_survey(t->asker, t->exclusions, have_after, t);
    } else {
        end(t);
    }
}

/* ---- the links before: what is broken between those that stay is said, and stops nothing ---- */

static void log_warnings(const char *cluster, const json_t *links)
{
    const json_t *warnings = json_object_get(links, "warnings");
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const json_t *warning = json_array_get(warnings, i);
        log_warn("bi_migration.link", "cluster", cluster, "code",
                 json_string_value(json_object_get(warning, "code")), "why",
                 json_string_value(json_object_get(warning, "text")));
    }
}

static void have_before(json_t *links, void *arg)
{
    struct telling *t = arg;
    t->before = json_incref(links);
    for (size_t i = 0; i < t->exclusions->count; i++) {
        log_warnings(t->exclusions->items[i].cluster, json_array_get(links, i));
    }
    let_go(t);
}

/* ---- the routing platform ---- */

static void tell_next(struct telling *t);

static void told(const struct outer_answer *a, void *arg)
{
    struct telling *t = arg;
    struct bi_exclusion *item = &t->exclusions->items[t->at++];
    item->is_told = a->is_ok;
    if (!a->is_ok) {
        log_warn("bi_migration.not_told", "cluster", item->cluster, "why", a->message);
    }
    tell_next(t);
}

static void tell_next(struct telling *t)
{
    const struct bi_exclusions *e = t->exclusions;
    if (t->at < e->count) {
        outer_exclude(t->outer, e->items[t->at].cluster, (const char *const *)e->dcs.items,
                      e->dcs.count, told, t);
        return;
    }
    let_go(t);
}

void bi_tell(struct outer_client *outer, struct bi_asker *asker, struct bi_exclusions *exclusions,
             bi_tell_done_fn *done, void *arg)
{
    XP_ON_LOOP();
    struct telling *t = xcalloc(1, sizeof(*t));
    *t = (struct telling){ .outer = outer,
                           .asker = asker,
                           .exclusions = exclusions,
                           .waiting = asker ? 2 : 1,
                           .done = done,
                           .arg = arg };
    if (asker) {
        bi_survey(asker, exclusions, have_before, t);
    }
    tell_next(t);
}
