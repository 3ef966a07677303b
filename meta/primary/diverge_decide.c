/* diverge_decide.c - see diverge_decide.h: the rules, in order; the first that fits. */
#include "meta/primary/diverge_decide.h"

#include <string.h>

#include "shared/base/err.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static const struct {
    const char *text;
    const char *means;
} whys[] = {
    /* clang-format off */
    [DIVERGE_COMPARED] = { "compared", "compared with the point of the promotion" },
    [DIVERGE_FENCE] = { "fence", "compared with where its fence left it: the point of the promotion is not known" },
    [DIVERGE_OTHER_HISTORY] = { "other-history", "its history is none of the new master: it restarted, the new master was promoted anew since, or it never was of this shard" },
    [DIVERGE_NO_POINT] = { "no-point", "the primary dc does not tell where its master was promoted" },
    [DIVERGE_MUTE] = { "mute", "it does not tell its replication id and offset" },
    /* clang-format on */
};

const char *diverge_why_text(enum diverge_why why)
{
    return whys[why].text;
}

const char *diverge_why_means(enum diverge_why why)
{
    return whys[why].means;
}

bool diverge_why_from_text(const char *text, enum diverge_why *ret_why)
{
    for (size_t i = 0; i < ARRAY_LEN(whys); i++) {
        if (text_eq(text, whys[i].text)) {
            *ret_why = (enum diverge_why)i;
            return true;
        }
    }
    return false;
}

struct work {
    const struct diverge_facts *f;
    bool has_point;
    bool is_compared;
    int64_t bytes;
    int64_t common;
    enum diverge_why why;
};

static bool is_of_fence(const struct diverge_facts *f)
{
    return f->fence_repl_id[0] && text_eq(f->own.repl_id, f->fence_repl_id);
}

static void compare(struct work *w)
{
    const struct diverge_facts *f = w->f;
    w->has_point = f->point.repl_id[0] != '\0';
    w->bytes = w->common = -1;
    if (f->own.repl_id[0] == '\0' || f->own.offset < 0) {
        w->why = DIVERGE_MUTE;
    } else if (w->has_point && repl_history_beyond(&f->own, &f->point, &w->bytes, &w->common)) {
        w->is_compared = true;
        w->why = DIVERGE_COMPARED;
    } else if (is_of_fence(f)) {
        w->is_compared = true;
        w->why = DIVERGE_FENCE;
        w->common = f->fence_offset;
        w->bytes = f->own.offset > w->common ? f->own.offset - w->common : 0;
    } else {
        w->why = w->has_point ? DIVERGE_OTHER_HISTORY : DIVERGE_NO_POINT;
    }
}

static bool has_time(const struct work *w)
{
    return w->f->waited_ms < w->f->patience_ms;
}

static bool as_fenced(const struct work *w)
{
    return !w->f->is_master && is_of_fence(w->f) && w->f->own.offset <= w->f->fence_offset;
}

static bool empty(const struct work *w)
{
    return !w->f->own.has_data && !w->is_compared;
}

static bool writable(const struct work *w)
{
    return w->f->is_master && !w->f->is_held && has_time(w);
}

static bool pointless(const struct work *w)
{
    return !w->has_point && has_time(w);
}

static bool behind(const struct work *w)
{
    return w->is_compared && w->bytes == 0;
}

static bool news(const struct work *w)
{
    return !w->f->is_recorded;
}

static bool unwritten(const struct work *w)
{
    return !w->f->is_written;
}

static bool always(const struct work *w)
{
    (void)w;
    return true;
}

static const struct {
    const char *rule;
    bool (*fits)(const struct work *);
    enum diverge_verdict verdict;
    const char *text;
} rules[] = {
    /* clang-format off */
    { "V10", as_fenced, DIVERGE_PASS, "it is as its fence has left it" },
    { "V20", empty, DIVERGE_PASS, "there is nothing in it, and it is of no history of this shard" },
    { "V30", writable, DIVERGE_HOLD, "a master with data: what it is told to write would be lost, and not counted" },
    { "V40", pointless, DIVERGE_WAIT, "the primary dc has not told yet where its master was promoted" },
    { "V50", behind, DIVERGE_PASS, "it has nothing that the new master does not have" },
    { "V60", news, DIVERGE_RECORD, "what it has beyond the new master is written down before it is discarded" },
    { "V70", unwritten, DIVERGE_WAIT, "what it has beyond the new master is being written down" },
    { "V80", always, DIVERGE_PASS, "what it has beyond the new master is written down" },
    /* clang-format on */
};

void diverge_decide(const struct diverge_facts *facts, struct diverge_plan *ret_plan)
{
    struct work w = { .f = facts };
    size_t i = 0;
    compare(&w);
    while (!rules[i].fits(&w)) {
        i++; /* the last one always fits */
    }
    xp_check(i < ARRAY_LEN(rules));
    *ret_plan = (struct diverge_plan){ .verdict = rules[i].verdict,
                                       .rule = rules[i].rule,
                                       .text = rules[i].text,
                                       .bytes = w.bytes,
                                       .promoted_offset = w.common,
                                       .why = w.why };
}
