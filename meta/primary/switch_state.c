/* switch_state.c - what people and machines see of the switchovers of a shard: metrics, and the state as JSON. */
#include "meta/primary/switch_internal.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define STEPS_HELP "Steps of switchovers, by kind and outcome."

struct metric switch_fences = METRIC_GAUGE_INIT(
    "xpipe_meta_switch_fences", "", "Owned shards whose master a switchover keeps from writes.");
struct metric switch_reasserted =
    METRIC_COUNTER_INIT("xpipe_meta_switch_fences_reasserted_total", "",
                        "Fences that were gone (a Redis that restarted) and were set again.");
struct metric switch_strays =
    METRIC_COUNTER_INIT("xpipe_meta_switch_strays_held_total", "",
                        "Writable masters found in a backup DC without an upstream, and held.");
struct metric switch_settles =
    METRIC_COUNTER_INIT("xpipe_meta_switch_settings_back_total", "",
                        "Redis that got the settings of before a fence back when they followed.");
struct metric switch_diverged_total =
    METRIC_COUNTER_INIT("xpipe_meta_switch_diverged_total", "",
                        "Returned masters of a backup DC that had, or may have had, more than the "
                        "new master when they were told to follow.");
struct metric switch_diverged_bytes =
    METRIC_COUNTER_INIT("xpipe_meta_switch_diverged_bytes_total", "",
                        "Bytes of replication beyond the promotion that they had, where known.");
struct metric switch_untold =
    METRIC_GAUGE_INIT("xpipe_meta_switch_diverged_untold", "",
                      "Divergences of owned shards that the console has not taken yet.");
static struct metric seconds = METRIC_HISTOGRAM_INIT("xpipe_meta_switch_step_seconds", "",
                                                     "From a request to the end of its step.");

#define STEP(word)                                                                                 \
    {                                                                                              \
        METRIC_COUNTER_INIT("xpipe_meta_switch_steps_total", "step=\"" word "\",result=\"ok\"",    \
                            STEPS_HELP),                                                           \
            METRIC_COUNTER_INIT("xpipe_meta_switch_steps_total",                                   \
                                "step=\"" word "\",result=\"failed\"", STEPS_HELP)                 \
    }
static struct metric steps[][2] = {
    [SWITCH_CHECK] = STEP("check"),     [SWITCH_HOLD] = STEP("hold"),
    [SWITCH_FREEZE] = STEP("freeze"),   [SWITCH_WHOLE] = STEP("whole"),
    [SWITCH_RELEASE] = STEP("release"), [SWITCH_DRAIN] = STEP("drain"),
    [SWITCH_PROMOTE] = STEP("promote"), [SWITCH_FOLLOW] = STEP("follow"),
};

void switch_metrics_register(void)
{
    struct metric *const all[] = { &switch_fences,         &switch_reasserted,
                                   &switch_strays,         &switch_settles,
                                   &switch_diverged_total, &switch_diverged_bytes,
                                   &switch_untold,         &seconds };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metric_register(all[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        metric_register(&steps[i][0]);
        metric_register(&steps[i][1]);
    }
}

void switch_metrics_step(enum switch_step step, bool is_success, int64_t took_ms)
{
    metric_add(&steps[step][is_success ? 0 : 1], 1);
    metric_observe_us(&seconds, took_ms * 1000);
}

static json_t *addr_json(const struct addr *addr)
{
    return addr_is_none(addr) ? json_null() : json_string(ADDR_TEXT(addr));
}

static json_t *kept_json(const struct switch_kept_list *kept)
{
    json_t *list = json_array();
    for (size_t i = 0; i < kept->count; i++) {
        json_array_append_new(list, addr_json(&kept->items[i].redis));
    }
    return list;
}

static json_t *record_json(const struct switch_shard *s)
{
    const struct switch_record *r = &s->record;
    return json_pack("{s:I, s:s, s:b, s:o, s:o, s:o, s:I, s:s, s:o, s:o, s:o, s:o, s:b}", "epoch",
                     (json_int_t)r->epoch, "fence", fence_state_text(r->fence), "isolation",
                     r->is_isolation, "master", addr_json(&r->master), "promoted",
                     addr_json(&r->promoted), "maybePromoted", addr_json(&r->maybe), "offset",
                     (json_int_t)r->offset, "replId", r->repl_id, "savedMinSlavesToWrite",
                     r->saved.is_known ? json_integer(r->saved.min_slaves) : json_null(), "kept",
                     kept_json(&r->kept), "diverged", switch_diverged_to_json(&r->diverged), "at",
                     r->at > 0 ? json_integer(r->at) : json_null(), "written",
                     !s->is_dirty && !s->is_writing);
}

static const char *stance_text(enum duty_stance stance)
{
    static const char *const texts[] = { [STANCE_NONE] = "none",
                                         [STANCE_KEEP_OFF] = "keepOff",
                                         [STANCE_FENCED] = "fenced",
                                         [STANCE_FOLLOW] = "follow" };
    return texts[stance];
}

json_t *shard_switch_json(const struct shard_switches *all, int64_t cluster_id, int64_t shard_id)
{
    const struct switch_shard *s = switch_find(all, cluster_id, shard_id);
    if (!s || !s->is_owned) {
        return json_null();
    }
    const struct duty_env *duty = all->opt.duty;
    bool has_last = s->ended_at != MONO_NEVER;
    json_t *out = json_pack("{s:s, s:o, s:o, s:i, s:b, s:o}", "stance",
                            stance_text(shard_switch_stance(all, cluster_id, shard_id)), "record",
                            s->is_known ? record_json(s) : json_null(), "step",
                            s->job ? json_string(switch_step_text(s->job->step)) : json_null(),
                            "queued", (int)s->queued, "asserted", s->is_asserted, "assertedAt",
                            duty_wall_json(duty, s->asserted_at));
    (void)json_object_set_new(
        out, "last",
        has_last ? json_pack("{s:s, s:o, s:o}", "step", switch_step_text(s->last_step), "at",
                             duty_wall_json(duty, s->ended_at), "error", jd_text(s->last_error))
                 : json_null());
    return out;
}
