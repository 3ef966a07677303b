/* migration_engine_report.c - what the engine says about migrations: log lines of transitions, numbers on /metrics. */
#include "console/migration/migration_engine_internal.h"
#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "shared/base/banned.h"

static const char gap_name[] = "xpipe_migration_write_gap_seconds";
static const char gap_help[] =
    "Time in which a cluster refused writes, from the first fence to the publication or the return";
static struct metric gap_switched =
    METRIC_HISTOGRAM_INIT(gap_name, "result=\"switched\"", gap_help);
static struct metric gap_returned =
    METRIC_HISTOGRAM_INIT(gap_name, "result=\"rolled_back\"", gap_help);
static struct metric turn_seconds = METRIC_HISTOGRAM_INIT(
    "xpipe_migration_turn_seconds", "", "Time of one transaction of the migration engine");
static struct metric turns_failed = METRIC_COUNTER_INIT(
    "xpipe_migration_turns_failed_total", "", "Transactions of the migration engine that failed");
static struct metric items_total = METRIC_COUNTER_INIT(
    "xpipe_migration_turn_clusters_total", "", "Clusters in transactions of the migration engine");
static struct metric unfenced_total =
    METRIC_COUNTER_INIT("xpipe_migration_unfenced_shards_total", "",
                        "Shards that were switched without a proved fence of the old master");
static struct metric lost_total = METRIC_COUNTER_INIT(
    "xpipe_migration_lost_bytes_total", "",
    "Bytes of replication that were not on the new master when it was promoted");

static const char ends_name[] = "xpipe_migrations_total";
static const char ends_help[] = "Migrations of clusters that ended, or paused, by status";
static struct metric ends[MIG_STATUSES] = {
    [MIG_SUCCESS] = METRIC_COUNTER_INIT(ends_name, "status=\"Success\"", ends_help),
    [MIG_ABORTED] = METRIC_COUNTER_INIT(ends_name, "status=\"Aborted\"", ends_help),
    [MIG_FORCE_END] = METRIC_COUNTER_INIT(ends_name, "status=\"ForceEnd\"", ends_help),
    [MIG_CHECKING_FAIL] = METRIC_COUNTER_INIT(ends_name, "status=\"CheckingFail\"", ends_help),
    [MIG_PARTIAL_RETRY_FAIL] =
        METRIC_COUNTER_INIT(ends_name, "status=\"PartialRetryFail\"", ends_help),
    [MIG_PUBLISH_FAIL] = METRIC_COUNTER_INIT(ends_name, "status=\"PublishFail\"", ends_help),
    [MIG_ROLL_BACK_FAIL] = METRIC_COUNTER_INIT(ends_name, "status=\"RollBackFail\"", ends_help),
};

static const char calls_name[] = "xpipe_migration_calls_total";
static const char calls_help[] = "Remote calls of migrations by outcome";
static struct metric calls[] = {
    [OUTCOME_NONE] = METRIC_COUNTER_INIT(calls_name, "outcome=\"none\"", calls_help),
    [OUTCOME_OK] = METRIC_COUNTER_INIT(calls_name, "outcome=\"ok\"", calls_help),
    [OUTCOME_REFUSED] = METRIC_COUNTER_INIT(calls_name, "outcome=\"refused\"", calls_help),
    [OUTCOME_UNREACHABLE] = METRIC_COUNTER_INIT(calls_name, "outcome=\"unreachable\"", calls_help),
    [OUTCOME_UNKNOWN] = METRIC_COUNTER_INIT(calls_name, "outcome=\"unknown\"", calls_help),
    [OUTCOME_STALE] = METRIC_COUNTER_INIT(calls_name, "outcome=\"stale\"", calls_help),
    [OUTCOME_NOT_YET] = METRIC_COUNTER_INIT(calls_name, "outcome=\"not_yet\"", calls_help),
};

static const char now_name[] = "xpipe_migrations";
static const char now_help[] = "Migrations of clusters that are not over, by what they do";
static struct metric now_running = METRIC_GAUGE_INIT(now_name, "state=\"running\"", now_help);
static struct metric now_waiting = METRIC_GAUGE_INIT(now_name, "state=\"waiting\"", now_help);
static struct metric now_paused = METRIC_GAUGE_INIT(now_name, "state=\"paused\"", now_help);
static struct metric now_following = METRIC_GAUGE_INIT(now_name, "state=\"following\"", now_help);
static struct metric follows_gauge =
    METRIC_GAUGE_INIT("xpipe_migration_follow_ups_waiting", "",
                      "DCs that have not confirmed yet that they follow a new primary one");

void report_register(void)
{
    struct metric *const all[] = { &gap_switched, &gap_returned,   &turn_seconds,  &turns_failed,
                                   &items_total,  &unfenced_total, &lost_total,    &now_running,
                                   &now_waiting,  &now_paused,     &now_following, &follows_gauge };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metric_register(all[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (ends[i].name) {
            metric_register(&ends[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        metric_register(&calls[i]);
    }
}

void report_turn(const struct migration_engine *e, int64_t duration_us, size_t items, int rc)
{
    (void)e;
    if (rc < 0) {
        metric_add(&turns_failed, 1);
        return;
    }
    metric_observe_us(&turn_seconds, duration_us);
    metric_add(&items_total, (int64_t)items);
}

/* The outage ends with the answer of the publication: what follows is bookkeeping. */
void report_result(struct mig *m, const struct migration_result *result)
{
    if (result->outcome >= OUTCOME_NONE && result->outcome <= OUTCOME_NOT_YET) {
        metric_add(&calls[result->outcome], 1);
    }
    if (result->call == CALL_PUBLISH && result->outcome == OUTCOME_OK && m->held_at > 0) {
        int64_t gap_ms = clock_wall_ms() - m->held_at;
        metric_observe_us(&gap_switched, gap_ms * 1000);
        log_info("migration.published", "event", log_int(m->event->id), "cluster", m->cluster,
                 "write_gap_ms", log_int(gap_ms));
    }
}

static void report_end(struct mig *m, const struct migration_cluster_row *row)
{
    int64_t unfenced = 0;
    int64_t lost_bytes = 0;
    for (size_t i = 0; i < row->shard_count; i++) {
        unfenced += row->shards[i].is_unfenced;
        lost_bytes += row->shards[i].lost_bytes > 0 ? row->shards[i].lost_bytes : 0;
    }
    if (row->status == MIG_SUCCESS) {
        metric_add(&unfenced_total, unfenced);
        metric_add(&lost_total, lost_bytes);
    } else if (row->status == MIG_ABORTED && m->held_at > 0) {
        metric_observe_us(&gap_returned, (clock_wall_ms() - m->held_at) * 1000);
    }
    if (unfenced > 0 || lost_bytes > 0) {
        log_warn("migration.loss", "event", log_int(row->event_id), "cluster", row->cluster,
                 "unfenced_shards", log_int(unfenced), "lost_bytes", log_int(lost_bytes));
    }
}

static void note_row(struct mig *m, const struct migration_cluster_row *row)
{
    m->held_at = 0;
    for (size_t i = 0; i < row->shard_count; i++) {
        wall_ms at = row->shards[i].held_at;
        m->held_at = at > 0 && (m->held_at == 0 || at < m->held_at) ? at : m->held_at;
    }
    m->follows_waiting = 0;
    for (size_t i = 0; i < row->follow_count; i++) {
        m->follows_waiting += row->follows[i].result != RESULT_TRUE;
    }
}

void report_row(struct mig *m, const struct turn_item *item)
{
    const struct migration_cluster_row *row = &item->row;
    const struct migration_status_info *info = migration_status_info(row->status);
    wall_ms held_before = m->held_at;
    note_row(m, row);
    if (row->status == m->status) {
        return;
    }
    if (info->is_paused) {
        log_warn("migration.paused", "event", log_int(row->event_id), "cluster", row->cluster,
                 "from", migration_status_info(m->status)->text, "to", info->text, "rule",
                 item->rules, "why", row->reason);
    } else {
        log_info("migration.moved", "event", log_int(row->event_id), "cluster", row->cluster,
                 "from", migration_status_info(m->status)->text, "to", info->text, "rule",
                 item->rules, "why", row->reason);
    }
    if (ends[row->status].name) {
        metric_add(&ends[row->status], 1);
    }
    if (info->is_terminal) {
        m->held_at = m->held_at ? m->held_at : held_before;
        report_end(m, row);
    }
}

void report_gauges(const struct migration_engine *e)
{
    int64_t running = 0;
    int64_t waiting = 0;
    int64_t paused = 0;
    int64_t following = 0;
    int64_t follows = 0;
    list_for_each (it, &e->migs) {
        const struct mig *m = LIST_ENTRY(it, struct mig, link);
        const struct migration_status_info *info = migration_status_info(m->status);
        waiting += m->status == MIG_INITIATED;
        paused += info->is_paused;
        following += info->is_terminal;
        running += m->status != MIG_INITIATED && !info->is_paused && !info->is_terminal;
        follows += m->follows_waiting;
    }
    metric_set(&now_running, running);
    metric_set(&now_waiting, waiting);
    metric_set(&now_paused, paused);
    metric_set(&now_following, following);
    metric_set(&follows_gauge, follows);
}

void report_canary(const struct mig *m)
{
    const struct event *ev = m->event;
    const struct migration_status_info *info = migration_status_info(m->status);
    bool is_stuck = ev->policy == POLICY_CANARY && ev->success_count == 0 && ev->rows > 1 &&
                    (info->is_paused || (info->is_terminal && m->status != MIG_SUCCESS));
    if (is_stuck) {
        log_warn("migration.canary_failed", "event", log_int(ev->id), "cluster", m->cluster,
                 "status", info->text, "next",
                 "the other clusters of the event wait until somebody processes it");
    }
}
