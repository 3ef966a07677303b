/* keeper_report.c - see keeper_report.h. */
#include "meta/keepers/keeper_report.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/url.h"

#include "shared/base/banned.h"

#define TARGET_MAX_BYTES 8192

static struct report_metrics metrics =
    REPORT_METRICS_INIT("xpipe_keeper_reports", "active keepers");

struct keeper_report {
    struct console_report *reports;
    char *dc;
};

static char *body_of(const struct live_keeper *active)
{
    char run_id[sizeof(active->run_id)];
    memcpy(run_id, active->run_id, sizeof(run_id));
    struct keeper_meta keeper = {
        .id = run_id[0] ? run_id : NULL,
        .addr = active->addr,
        .is_active = true,
        .container_id = active->container_id,
        .priority = active->priority,
    };
    json_t *json = keeper_meta_to_json(&keeper);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    xp_check(text != NULL);
    return text;
}

struct keeper_report *keeper_report_new(const struct keeper_report_options *options)
{
    struct keeper_report *k = xcalloc(1, sizeof(*k));
    k->dc = xstrdup(options->dc);
    k->reports = console_report_new(
        &(struct console_report_options){ .loop = options->loop,
                                          .console_url = options->console_url,
                                          .subject = "keepers",
                                          .metrics = &metrics,
                                          .queue_max = options->queue_max,
                                          .connect_timeout_ms = options->connect_timeout_ms,
                                          .timeout_ms = options->timeout_ms });
    return k;
}

void keeper_report_free(struct keeper_report *k)
{
    if (k) {
        console_report_free(k->reports);
        free(k->dc);
        free(k);
    }
}

static char *target_of(const struct keeper_report *k, const char *cluster, const char *shard)
{
    struct str target = STR_INIT(TARGET_MAX_BYTES);
    str_puts(&target, "/api/dc/");
    url_add_encoded(&target, k->dc);
    str_puts(&target, "/cluster/");
    url_add_encoded(&target, cluster);
    str_puts(&target, "/shard/");
    url_add_encoded(&target, shard);
    str_puts(&target, "/keepers/adjustment");
    return str_take(&target);
}

void keeper_report_put(struct keeper_report *k, const char *cluster, const char *shard,
                       const struct live_keeper *active)
{
    AUTO_FREE char *key = xasprintf("%s/%s", cluster, shard);
    AUTO_FREE char *target = target_of(k, cluster, shard);
    console_report_put(k->reports, &(struct console_news){ .key = key,
                                                           .method = "PUT",
                                                           .target = target,
                                                           .take_body = body_of(active) });
}

void keeper_report_drop(struct keeper_report *k, const char *cluster, const char *shard)
{
    AUTO_FREE char *key = xasprintf("%s/%s", cluster, shard);
    console_report_drop(k->reports, key);
}

size_t keeper_report_waiting(const struct keeper_report *k)
{
    return console_report_waiting(k->reports);
}
