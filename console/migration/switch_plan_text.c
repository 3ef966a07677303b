/* switch_plan_text.c - the end of a plan and its facts; a plan as JSON (for the API), as lines (for golden files), and as the text of what must hold. See switch_plan.h. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/switch_plan.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

enum { US_PER_MS = 1000, DIFFERENCES_MAX = 6, LINE_SHOWN_MAX = 160 };

static const char *target_text(enum plan_target target)
{
    static const char *const texts[] = {
        [PLAN_HTTP] = "http",         [PLAN_REDIS] = "redis",   [PLAN_KEEPER] = "keeper",
        [PLAN_SENTINEL] = "sentinel", [PLAN_RECORD] = "record", [PLAN_DATABASE] = "database"
    };
    return texts[target];
}

static bool has_instance(const struct plan_step *s)
{
    return s->target == PLAN_REDIS || s->target == PLAN_KEEPER || s->target == PLAN_SENTINEL;
}

/* ---- life ---- */

void switch_plan_facts_free(struct switch_plan_facts *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->dc_count; i++) {
        free(f->dcs[i].name);
        free(f->dcs[i].route_words);
    }
    for (size_t i = 0; i < f->shard_count; i++) {
        free(f->shards[i].name);
        shard_survey_free(f->shards[i].survey);
    }
    for (size_t i = 0; i < f->monitor_count; i++) {
        free(f->monitors[i].name);
    }
    free(f->monitors);
    free(f->shards);
    free(f->instances);
    if (f->row) {
        migration_cluster_row_done(f->row);
        free(f->row);
    }
    free(f->precheck_text);
    free(f->cluster);
    free(f);
}

void switch_plan_free(struct switch_plan *p)
{
    for (size_t i = 0; p && i < p->step_count; i++) {
        free(p->steps[i].text);
    }
    free(p ? p->steps : NULL);
    free(p);
}

const char *plan_dc_name(const struct switch_plan_facts *f, int64_t dc_id)
{
    for (size_t i = 0; i < f->dc_count; i++) {
        if (f->dcs[i].id == dc_id) {
            return f->dcs[i].name;
        }
    }
    return "";
}

/* ---- JSON ---- */

static json_t *number_or_null(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *step_json(const struct plan_step *s, size_t n)
{
    char by[160];
    (void)snprintf(by, sizeof(by), "%s%.128s", s->is_by_console ? "console" : "metaserver of ",
                   s->is_by_console ? "" : s->dc);
    return json_pack("{s:I, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:b, s:b, s:b, s:s?}", "n",
                     (json_int_t)n, "phase", migration_call_text(s->phase), "shard",
                     s->shard[0] ? jd_text(s->shard) : json_null(), "dc",
                     s->dc[0] ? jd_text(s->dc) : json_null(), "by", jd_text(by), "target",
                     target_text(s->target), "instance",
                     has_instance(s) ? jd_text(ADDR_TEXT(&s->instance)) : json_null(), "command",
                     jd_text(s->text), "rule", jd_text(s->rule), "writesRefused", s->in_gap,
                     "repeated", s->is_wait, "notAwaited", s->is_late, "when", s->when);
}

static json_t *steps_json(const struct switch_plan *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->step_count; i++) {
        (void)json_array_append_new(list, step_json(&p->steps[i], i + 1));
    }
    return list;
}

static json_t *risks_json(const struct switch_plan *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->risk_count; i++) {
        const struct plan_risk *r = &p->risks[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s, s:o, s:o}", "code", r->code, "level",
                                              r->is_error ? "error" : "warning", "shard",
                                              r->shard[0] ? jd_text(r->shard) : json_null(), "text",
                                              jd_text(r->text)));
    }
    return list;
}

static json_t *part(const char *name, int64_t count, int64_t us)
{
    return json_pack("{s:s, s:o, s:f}", "part", name, "count", number_or_null(count), "ms",
                     (double)us / US_PER_MS);
}

static json_t *gap_json(const struct plan_gap *g)
{
    json_t *parts = json_array();
    (void)json_array_append_new(parts, part("metaserver calls", g->calls, g->calls_us));
    (void)json_array_append_new(parts,
                                part("redis round trips", g->redis_round_trips, g->redis_us));
    (void)json_array_append_new(parts, part("commits", g->commits, g->commits_us));
    (void)json_array_append_new(parts, part("drain", -1, g->drain_us));
    (void)json_array_append_new(parts, part("publication", -1, g->publish_us));
    return json_pack("{s:o, s:o, s:o}", "predictedMs", number_or_null(g->predicted_ms), "pastMs",
                     number_or_null(g->past_ms), "parts", parts);
}

json_t *switch_plan_json(const struct switch_plan *p, bool with_steps)
{
    return json_pack(
        "{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:o}", "end", migration_status_info(p->end)->text,
        "reason", p->reason[0] ? jd_text(p->reason) : json_null(), "mode",
        migration_mode_text(p->is_disaster ? MODE_DISASTER : MODE_PLANNED), "writeGap",
        gap_json(&p->gap), "lagBytes", number_or_null(p->lag_bytes), "drainMs",
        number_or_null(p->drain_ms), "risks", risks_json(p), "risksLeftOut",
        (json_int_t)p->risks_left_out, "steps", with_steps ? steps_json(p) : json_null());
}

/* ---- lines ---- */

static void print_step(const struct plan_step *s, struct str *out)
{
    str_printf(out, "%-8s %-4s %-4s %c%c%c %-5s %-8s %-16s %s\n", migration_call_text(s->phase),
               s->shard[0] ? s->shard : "-", s->dc[0] ? s->dc : "-", s->in_gap ? 'G' : '.',
               s->is_wait ? 'w' : '.', s->is_late ? 'l' : '.', s->rule, target_text(s->target),
               has_instance(s)    ? ADDR_TEXT(&s->instance)
               : s->is_by_console ? "console"
                                  : "metaserver",
               s->text);
}

void switch_plan_print(const struct switch_plan *p, struct str *out)
{
    const struct plan_gap *g = &p->gap;
    str_printf(out, "end %s%s%s%s\n", migration_status_info(p->end)->text,
               p->is_disaster ? ", disaster" : "", p->reason[0] ? ": " : "", p->reason);
    str_printf(out, "gap %lld ms: calls %d %lld us, round trips %d %lld us, commits %d %lld us, ",
               (long long)g->predicted_ms, g->calls, (long long)g->calls_us, g->redis_round_trips,
               (long long)g->redis_us, g->commits, (long long)g->commits_us);
    str_printf(out, "drain %lld us, publication %lld us, past %lld ms\n", (long long)g->drain_us,
               (long long)g->publish_us, (long long)g->past_ms);
    str_printf(out, "lag %lld bytes, drained in %lld ms\n", (long long)p->lag_bytes,
               (long long)p->drain_ms);
    for (size_t i = 0; i < p->risk_count; i++) {
        const struct plan_risk *r = &p->risks[i];
        str_printf(out, "%s %s %s %s\n", r->is_error ? "error" : "risk ", r->code,
                   r->shard[0] ? r->shard : "-", r->text);
    }
    for (size_t i = 0; i < p->step_count; i++) {
        print_step(&p->steps[i], out);
    }
}

/* ---- what must hold ---- */

/* Metadata, too, that no command shows: a keeper or Redis more changes the plan. */
static void add_instances(const struct switch_plan_facts *f, struct str *out)
{
    for (size_t i = 0; i < f->instance_count; i++) {
        const struct plan_instance *it = &f->instances[i];
        str_printf(out, "instance %lld %s %s %s%s\n", (long long)it->shard_id,
                   plan_dc_name(f, it->dc_id), it->is_keeper ? "keeper" : "redis",
                   ADDR_TEXT(&it->addr), it->is_master ? " master" : "");
    }
}

char *switch_plan_canonical(const struct switch_plan_facts *f, const struct switch_plan *p)
{
    AUTO_STR struct str out = STR_INIT(PLAN_CANONICAL_MAX);
    str_printf(&out, "cluster %s from %s to %s, mode %s%s, ends as %s\n", f->cluster,
               plan_dc_name(f, f->source_dc_id), plan_dc_name(f, f->dest_dc_id),
               migration_mode_text(f->mode), p->is_disaster ? " (disaster)" : "",
               migration_status_info(p->end)->text);
    if (f->row) {
        str_printf(&out, "goes on from %s\n", migration_status_info(f->row->status)->text);
    }
    add_instances(f, &out);
    for (size_t i = 0; i < p->step_count; i++) {
        const struct plan_step *s = &p->steps[i];
        if (!s->is_wait) {
            str_printf(&out, "%s %s %s %s %s %s\n", migration_call_text(s->phase), s->shard, s->dc,
                       s->is_by_console ? "console" : "metaserver",
                       has_instance(s) ? ADDR_TEXT(&s->instance) : "-", s->text);
        }
    }
    return out.overflow ? NULL : str_take(&out);
}

void switch_plan_hash(const char *text, char ret_hash[PLAN_HASH_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    xp_check(EVP_Digest(text, strlen(text), digest, &size, EVP_sha256(), NULL) == 1 && size == 32);
    size_t at = (size_t)snprintf(ret_hash, PLAN_HASH_SIZE, "sha256:");
    for (unsigned i = 0; i < size; i++) {
        at += (size_t)snprintf(ret_hash + at, PLAN_HASH_SIZE - at, "%02x", digest[i]);
    }
}

/* ---- differences ---- */

/* 'line' with the end of it. */
static bool has_line(const char *text, const char *line, size_t length)
{
    while (*text) {
        size_t size = strcspn(text, "\n") + 1;
        if (size == length && memcmp(text, line, size) == 0) {
            return true;
        }
        text += size;
    }
    return false;
}

/* Lines of 'text' (each with its end) that the other text does not have. */
static int add_missing(const char *text, const char *other, char sign, int left, struct str *out)
{
    while (*text && left > 0) {
        size_t length = strcspn(text, "\n") + 1;
        if (!has_line(other, text, length)) {
            int shown = length - 1 < LINE_SHOWN_MAX ? (int)(length - 1) : LINE_SHOWN_MAX;
            str_printf(out, "%s%c %.*s", out->len > 0 ? "; " : "", sign, shown, text);
            left--;
        }
        text += length;
    }
    return left;
}

void switch_plan_differences(const char *before, const char *after, struct str *out)
{
    (void)add_missing(before, after, '-', DIFFERENCES_MAX / 2, out);
    (void)add_missing(after, before, '+', DIFFERENCES_MAX / 2, out);
}
