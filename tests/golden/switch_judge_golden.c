/* switch_judge_golden.c - the verdict of the check before a switchover.
 *
 * Input: {"disaster", "max_lag_bytes", "drain_ms", "bytes_per_s", "dcs":[{"dc", "is":"source|dest|other", "error", "check":{the answer of the
 * check endpoint}}]}. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/switch_judge.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

enum { DCS_MAX = 4 };

struct situation {
    struct judge_dc dcs[DCS_MAX];
    struct switch_check checks[DCS_MAX];
    size_t count;
};

static void situation_done(struct situation *s)
{
    for (size_t i = 0; i < s->count; i++) {
        switch_check_done(&s->checks[i]);
    }
    free(s);
}

static int dc_from(const json_t *value, struct situation *s, struct xp_err *err)
{
    const char *is = json_string_value(json_object_get(value, "is"));
    const json_t *check = json_object_get(value, "check");
    size_t i = s->count++;
    s->dcs[i] = (struct judge_dc){
        .dc = json_string_value(json_object_get(value, "dc")),
        .is_source = text_eq(is, "source"),
        .is_dest = text_eq(is, "dest"),
        .was_asked = true,
        .check = check ? &s->checks[i] : NULL,
        .error = json_string_value(json_object_get(value, "error")),
    };
    return check ? switch_check_from_json(check, &s->checks[i], err) : 0;
}

static int64_t number(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static int judge(const json_t *input, struct situation *s, struct str *out, struct xp_err *err)
{
    const json_t *dcs = json_object_get(input, "dcs");
    if (json_array_size(dcs) > DCS_MAX) {
        return xp_fail(err, XP_INVALID, "dcs: at most %d", DCS_MAX);
    }
    for (size_t i = 0; i < json_array_size(dcs); i++) {
        if (dc_from(json_array_get(dcs, i), s, err) != 0) {
            return xp_wrap(err, "dcs[%zu]", i);
        }
    }
    struct judge_facts facts = {
        .dcs = s->dcs,
        .count = s->count,
        .is_disaster = json_is_true(json_object_get(input, "disaster")),
        .max_lag_bytes = number(input, "max_lag_bytes"),
        .drain_ms = number(input, "drain_ms"),
        .bytes_per_s = number(input, "bytes_per_s"),
    };
    struct judge_verdict *verdict = xcalloc(1, sizeof(*verdict));
    switch_judge(&facts, verdict);
    str_puts(out, verdict->may ? "may\n" : verdict->is_not_yet ? "not yet\n" : "may not\n");
    judge_verdict_print(verdict, out);
    free(verdict);
    return 0;
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_error_t where;
    json_t *json = json_loadb(input, length, JSON_REJECT_DUPLICATES, &where);
    if (!json) {
        return xp_fail(err, XP_INVALID, "line %d: %s", where.line, where.text);
    }
    struct situation *s = xcalloc(1, sizeof(*s));
    int rc = judge(json, s, out, err);
    situation_done(s);
    json_decref(json);
    return rc;
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/switch_judge", run);
}
