/* late_rewrite.c - see late_rewrite.h. */
#include "shared/switch/late_rewrite.h"

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

static struct metric refused = METRIC_COUNTER_INIT(
    "xpipe_switch_rewrites_refused_total", "",
    "CONFIG REWRITE behind a freeze or a promotion that was refused, or not answered in time.");

struct late_rewrites {
    struct loop *loop;
    struct list waiting; /* struct waiting */
    size_t count;
};

struct waiting {
    struct list link;
    struct late_rewrites *all;
    struct redis_party *party;
    const char *behind;
    struct addr redis[PARTY_MAX];
};

struct late_rewrites *late_rewrites_new(struct loop *loop)
{
    struct late_rewrites *all = xcalloc(1, sizeof(*all));
    all->loop = loop;
    list_init(&all->waiting);
    metric_register(&refused);
    return all;
}

static void waiting_free(struct waiting *w)
{
    list_remove(&w->link);
    w->all->count--;
    redis_party_free(w->party);
    free(w);
}

void late_rewrites_free(struct late_rewrites *all)
{
    if (!all) {
        return;
    }
    for (struct list *link; (link = list_pop_front(&all->waiting));) {
        waiting_free(LIST_ENTRY(link, struct waiting, link));
    }
    free(all);
}

static void on_answers(const struct party_answer *answers, size_t count, void *arg)
{
    struct waiting *w = arg;
    for (size_t i = 0; i < count; i++) {
        const struct rreply *reply = answers[i].reply;
        if (reply && !rreply_is_error(reply)) {
            continue;
        }
        metric_add(&refused, 1);
        log_warn("switch.rewrite_refused", "redis", ADDR_TEXT(&w->redis[answers[i].member]),
                 "behind", w->behind, "error",
                 reply ? rreply_text(reply, NULL) : rconn_why_text(answers[i].why), "means",
                 "it is in force, but a restart brings its role of before back; the fence is "
                 "asserted again then",
                 "next", "make its config file writable, then CONFIG REWRITE");
    }
    waiting_free(w);
}

static void ignore_answers(const struct party_answer *answers, size_t count, void *arg)
{
    (void)answers, (void)count, (void)arg;
}

void late_rewrites_send(struct late_rewrites *all, struct redis_party **party, struct loop *loop,
                        const struct late_rewrite *late)
{
    XP_ON_LOOP();
    mono_ms deadline = loop_now(loop) + LATE_REWRITE_MS;
    xp_check(late->redis_count <= PARTY_MAX && late->count > 0);
    if (!all || all->count >= LATE_REWRITES_MAX) {
        if (all) {
            log_info("switch.rewrite_unheard", "behind", late->behind, "waiting",
                     log_int((int64_t)all->count));
        }
        redis_party_round(*party, late->orders, late->count, deadline, ignore_answers, NULL);
        return;
    }
    struct waiting *w = xcalloc(1, sizeof(*w));
    w->all = all;
    w->party = TAKE(*party);
    w->behind = late->behind;
    for (size_t i = 0; i < late->redis_count; i++) {
        w->redis[i] = late->redis[i];
    }
    list_push_back(&all->waiting, &w->link);
    all->count++;
    redis_party_round(w->party, late->orders, late->count, deadline, on_answers, w);
}
