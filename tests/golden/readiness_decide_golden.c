/* readiness_decide_golden.c - the readiness verdict of a cluster for one destination.
 *
 * Input: {"dc", "held_by", "silent_looks", "shard_count" (absent: of "shards"), "max_lag_bytes", "drain_ms", "looked_at", "now", "age_max_ms",
 * "shards":[{"shard", "dcs":[{"dc", "is":"source|dest|other", "error", "unreachable", "check":{answer of the check endpoint}}]}]}. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/readiness_decide.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

static int64_t number(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static int add_dc(struct shard_survey *survey, const json_t *value, struct xp_err *err)
{
    const char *is = json_string_value(json_object_get(value, "is"));
    const char *error = json_string_value(json_object_get(value, "error"));
    const json_t *check = json_object_get(value, "check");
    int rc = shard_survey_add(survey, json_string_value(json_object_get(value, "dc")),
                              text_eq(is, "source"), text_eq(is, "dest"), err);
    if (rc != 0) {
        return rc;
    }
    struct survey_dc *dc = &survey->dcs[survey->count - 1];
    dc->error = error ? xstrdup(error) : NULL;
    dc->is_unreachable = json_is_true(json_object_get(value, "unreachable"));
    if (!check) {
        return 0;
    }
    dc->check = xcalloc(1, sizeof(*dc->check));
    return switch_check_from_json(check, dc->check, err);
}

static int weigh(const json_t *input, const json_t *shard, struct readiness_tally *tally,
                 struct xp_err *err)
{
    struct shard_survey *survey = xcalloc(1, sizeof(*survey));
    struct judge_facts limits = { .max_lag_bytes = number(input, "max_lag_bytes"),
                                  .drain_ms = number(input, "drain_ms") };
    const json_t *dcs = json_object_get(shard, "dcs");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(dcs); i++) {
        rc = add_dc(survey, json_array_get(dcs, i), err);
    }
    if (rc == 0) {
        readiness_weigh(tally, json_string_value(json_object_get(shard, "shard")), survey, &limits);
    }
    shard_survey_free(survey);
    return rc;
}

static void print_reason(struct str *out, const struct readiness_reason *r)
{
    str_printf(out, "%s %s x%lld%s%s: %s\n", r->is_error ? "error" : "warn", r->code,
               (long long)r->count, r->shard[0] ? " " : "", r->shard, r->text);
}

static void decide(const json_t *input, const struct readiness_tally *tally, struct str *out)
{
    const json_t *count = json_object_get(input, "shard_count");
    const char *dc = json_string_value(json_object_get(input, "dc"));
    struct readiness_facts facts = {
        .dc = dc ? dc : "",
        .held_by = number(input, "held_by"),
        .shards = count ? (int64_t)json_integer_value(count)
                        : (int64_t)json_array_size(json_object_get(input, "shards")),
        .silent_looks = number(input, "silent_looks"),
        .tally = tally,
    };
    struct readiness_verdict *v = xcalloc(1, sizeof(*v));
    readiness_decide(&facts, v);
    str_printf(out, "planned %s, disaster %s, lag %lld%s%s\n", readiness_level_text(v->planned),
               readiness_level_text(v->disaster), (long long)v->lag_bytes,
               v->is_silent ? ", silent" : "", v->keeps_previous ? ", keeps the one before" : "");
    for (size_t i = 0; i < v->count; i++) {
        print_reason(out, &v->reasons[i]);
    }
    free(v);
}

static void age(const json_t *input, struct str *out)
{
    struct readiness_reason reason;
    bool is_old = readiness_age(number(input, "looked_at"), number(input, "now"),
                                number(input, "age_max_ms"), &reason);
    str_puts(out, is_old ? "UNKNOWN\n" : "counts\n");
    if (is_old) {
        print_reason(out, &reason);
    }
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_error_t where;
    json_t *json = json_loadb(input, length, JSON_REJECT_DUPLICATES, &where);
    if (!json) {
        return xp_fail(err, XP_INVALID, "line %d: %s", where.line, where.text);
    }
    struct readiness_tally *tally = xcalloc(1, sizeof(*tally));
    const json_t *shards = json_object_get(json, "shards");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(shards); i++) {
        rc = weigh(json, json_array_get(shards, i), tally, err);
    }
    if (rc == 0 && json_object_get(json, "age_max_ms")) {
        age(json, out);
    } else if (rc == 0) {
        decide(json, tally, out);
    }
    free(tally);
    json_decref(json);
    return rc;
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/readiness_decide", run);
}
