/* switch_plan_golden.c - the plan of a migration: every command for every instance, the gap, the risks.
 *
 * Input: {"from", "to", "mode", "outer":"none|webhook|credis", "precheck_us", "refused", "past_ms":[...], "dcs":[names], "limits":{...},
 * "shards":[{"name", "instances":[{"dc","addr","keeper","master"}], "survey":[{"dc", "took_us", "error", "check":{the answer of the check
 * endpoint}}]}], "routes", "sentinels", "row" (see below)}. The text ends with the hash; "then":{...} (members replaced) shows what differs then. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_rows_internal.h"
#include "console/migration/switch_plan.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

static int64_t number(const json_t *object, const char *key, int64_t absent)
{
    const json_t *value = json_object_get(object, key);
    return value ? (int64_t)json_integer_value(value) : absent;
}

static const char *word(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t dc_id(const struct switch_plan_facts *f, const char *name)
{
    for (size_t i = 0; i < f->dc_count; i++) {
        if (text_eq(f->dcs[i].name, name)) {
            return f->dcs[i].id;
        }
    }
    return 0;
}

static int add_seen(struct switch_plan_facts *f, struct shard_survey *survey, const json_t *value,
                    struct xp_err *err)
{
    const char *dc = word(value, "dc");
    int64_t id = dc_id(f, dc);
    int rc = shard_survey_add(survey, dc, id == f->source_dc_id, id == f->dest_dc_id, err);
    if (rc != 0) {
        return rc;
    }
    struct survey_dc *seen = &survey->dcs[survey->count - 1];
    const json_t *check = json_object_get(value, "check");
    seen->took_us = number(value, "took_us", -1);
    seen->error = word(value, "error") ? xstrdup(word(value, "error")) : NULL;
    if (!check) {
        return 0;
    }
    seen->check = xcalloc(1, sizeof(*seen->check));
    return switch_check_from_json(check, seen->check, err);
}

static int add_instance(struct switch_plan_facts *f, int64_t shard_id, const json_t *value,
                        struct xp_err *err)
{
    const char *addr = word(value, "addr");
    f->instances = xrealloc(f->instances, f->instance_count + 1, sizeof(*f->instances));
    struct plan_instance *it = &f->instances[f->instance_count++];
    *it = (struct plan_instance){ .dc_id = dc_id(f, word(value, "dc")),
                                  .shard_id = shard_id,
                                  .is_keeper = json_is_true(json_object_get(value, "keeper")),
                                  .is_master = json_is_true(json_object_get(value, "master")) };
    return addr_parse(addr ? addr : "", addr ? strlen(addr) : 0, &it->addr, err);
}

static int add_shard(struct switch_plan_facts *f, const json_t *value, struct xp_err *err)
{
    struct plan_shard *shard = &f->shards[f->shard_count++];
    size_t i;
    json_t *item;
    int rc = 0;
    shard->id = (int64_t)f->shard_count;
    shard->name = xstrdup(word(value, "name"));
    shard->survey = xcalloc(1, sizeof(*shard->survey));
    json_array_foreach (json_object_get(value, "survey"), i, item) {
        rc = rc == 0 ? add_seen(f, shard->survey, item, err) : rc;
    }
    json_array_foreach (json_object_get(value, "instances"), i, item) {
        rc = rc == 0 ? add_instance(f, shard->id, item, err) : rc;
    }
    return rc;
}

/* "routes": {"jq": "PROXYTCP://..."}, of DCs that reach the destination over proxies; "": none of them can be used. */
static void add_routes(struct switch_plan_facts *f, const json_t *routes)
{
    for (size_t i = 0; i < f->dc_count; i++) {
        const char *words = word(routes, f->dcs[i].name);
        if (words) {
            f->dcs[i].route = words[0] ? ROUTE_CHOSEN : ROUTE_UNUSABLE;
            f->dcs[i].route_words = words[0] ? xstrdup(words) : NULL;
        }
    }
}

/* "sentinels": {"jq": "ip:port,ip:port"}, of every shard. */
static void add_sentinels(struct switch_plan_facts *f, const json_t *sentinels)
{
    for (size_t i = 0; i < f->dc_count * f->shard_count; i++) {
        const struct plan_dc *dc = &f->dcs[i / f->shard_count];
        const struct plan_shard *shard = &f->shards[i % f->shard_count];
        const char *address = word(sentinels, dc->name);
        if (address) {
            f->monitors = xrealloc(f->monitors, f->monitor_count + 1, sizeof(*f->monitors));
            struct plan_monitor *m = &f->monitors[f->monitor_count++];
            *m = (struct plan_monitor){ .dc_id = dc->id, .shard_id = shard->id };
            m->name = xasprintf("c1+%s+%s", shard->name, dc->name);
            m->count = sentinel_addrs(address, m->sentinels, NULL);
        }
    }
}

static void add_limits(struct switch_plan_facts *f, const json_t *limits)
{
    f->limits =
        (struct plan_limits){ .max_lag_bytes = number(limits, "max_lag_bytes", 67108864),
                              .fence_ms = number(limits, "fence_ms", 1000),
                              .drain_ms = number(limits, "drain_ms", 5000),
                              .promote_ms = number(limits, "promote_ms", 2000),
                              .outage_max_ms = number(limits, "outage_max_ms", 10000),
                              .drain_bytes_per_s = number(limits, "drain_bytes_per_s", 10485760),
                              .commit_us = number(limits, "commit_us", 2000) };
}

/* "row": {"status", "switched", "disaster", "shards": [the state of its row]}, of a migration that is paused. */
static int add_row(struct switch_plan_facts *f, const json_t *value, struct xp_err *err)
{
    const json_t *shards = json_object_get(value, "shards");
    struct migration_cluster_row *row = xcalloc(1, sizeof(*row));
    f->row = row;
    f->now = 5000;
    *row = (struct migration_cluster_row){ .id = 1,
                                           .event_id = 1,
                                           .cluster_id = 1,
                                           .cluster = xstrdup(f->cluster),
                                           .source_dc_id = f->source_dc_id,
                                           .dest_dc_id = f->dest_dc_id,
                                           .source_dc = xstrdup(plan_dc_name(f, f->source_dc_id)),
                                           .dest_dc = xstrdup(plan_dc_name(f, f->dest_dc_id)),
                                           .start_ms = 1000,
                                           .phase_ms = 4000,
                                           .mode = f->mode,
                                           .epoch = 7 };
    row->is_disaster = json_is_true(json_object_get(value, "disaster"));
    row->is_active_switched = json_is_true(json_object_get(value, "switched"));
    row->shards = xcalloc(f->shard_count, sizeof(*row->shards));
    row->shard_count = f->shard_count;
    if (json_array_size(shards) != f->shard_count ||
        !migration_status_from_text(word(value, "status"), &row->status)) {
        return xp_fail(err, XP_INVALID, "row: status, and each of the shards");
    }
    for (size_t i = 0; i < f->shard_count; i++) {
        AUTO_FREE char *state = json_dumps(json_array_get(shards, i), 0);
        int rc = shard_row_from_state(state, &row->shards[i], err);
        row->shards[i].id = row->shards[i].shard_id = f->shards[i].id;
        row->shards[i].name = xstrdup(f->shards[i].name);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int read_facts(const json_t *input, struct switch_plan_facts *f, struct xp_err *err)
{
    const json_t *shards = json_object_get(input, "shards");
    const char *outer = word(input, "outer");
    size_t i;
    json_t *item;
    int rc = 0;
    f->cluster_id = 1;
    f->cluster = xstrdup("c1");
    json_array_foreach (json_object_get(input, "dcs"), i, item) {
        f->dcs[f->dc_count++] =
            (struct plan_dc){ .id = (int64_t)i + 1, .name = xstrdup(json_string_value(item)) };
    }
    f->source_dc_id = dc_id(f, word(input, "from"));
    f->dest_dc_id = dc_id(f, word(input, "to"));
    f->outer = text_eq(outer, "credis")    ? OUTER_CREDIS
               : text_eq(outer, "webhook") ? OUTER_WEBHOOK
                                           : OUTER_NOBODY;
    f->precheck_us = number(input, "precheck_us", -1);
    f->precheck_says_no = word(input, "refused") != NULL;
    f->precheck_text = word(input, "refused") ? xstrdup(word(input, "refused")) : NULL;
    add_limits(f, json_object_get(input, "limits"));
    if (word(input, "mode") && !migration_mode_from_text(word(input, "mode"), &f->mode)) {
        return xp_fail(err, XP_INVALID, "mode");
    }
    json_array_foreach (json_object_get(input, "past_ms"), i, item) {
        f->past_gap_ms[f->past_count++] = (int64_t)json_integer_value(item);
    }
    f->shards = xcalloc(json_array_size(shards), sizeof(*f->shards));
    json_array_foreach (shards, i, item) {
        rc = rc == 0 ? add_shard(f, item, err) : rc;
    }
    add_routes(f, json_object_get(input, "routes"));
    add_sentinels(f, json_object_get(input, "sentinels"));
    const json_t *row = json_object_get(input, "row");
    return rc == 0 && row ? add_row(f, row, err) : rc;
}

static int plan_of(const json_t *input, struct str *out, char **ret_canonical, struct xp_err *err)
{
    struct switch_plan_facts *facts = xcalloc(1, sizeof(*facts));
    int rc = read_facts(input, facts, err);
    if (rc == 0) {
        struct switch_plan *plan = switch_plan_decide(facts);
        json_t *json = switch_plan_json(plan, true);
        xp_check(json && json_array_size(json_object_get(json, "steps")) == plan->step_count);
        json_decref(json);
        if (out) {
            switch_plan_print(plan, out);
        }
        *ret_canonical = switch_plan_canonical(facts, plan);
        switch_plan_free(plan);
    }
    switch_plan_facts_free(facts);
    return rc;
}

static int run(const json_t *input, struct str *out, struct xp_err *err)
{
    AUTO_FREE char *before = NULL;
    AUTO_FREE char *after = NULL;
    char hash[PLAN_HASH_SIZE];
    char hash_then[PLAN_HASH_SIZE];
    json_t *then = json_object_get(input, "then");
    int rc = plan_of(input, out, &before, err);
    if (rc != 0) {
        return rc;
    }
    switch_plan_hash(before, hash);
    str_printf(out, "%s\n", hash);
    if (then) {
        json_auto_t *changed = json_deep_copy(input);
        json_object_update(changed, then);
        rc = plan_of(changed, NULL, &after, err);
    }
    if (after) {
        switch_plan_hash(after, hash_then);
        str_printf(out, "then %s: ", strcmp(hash, hash_then) == 0 ? "the same" : hash_then);
        switch_plan_differences(before, after, out);
        str_putc(out, '\n');
    }
    return rc;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/switch_plan", run);
}
