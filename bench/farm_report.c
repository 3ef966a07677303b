/* farm_report.c - what the farm saw, as one line of JSON. */
#include <inttypes.h>
#include <string.h>

#include "bench/farm.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define TIMES_MAX 1000000 /* more corrections than that are counted, not timed */

static const char *const command_names[FARM_COMMANDS] = {
    [FARM_ROLE] = "role",         [FARM_INFO] = "info",       [FARM_CRDT_INFO] = "crdt_info",
    [FARM_PEEROF] = "peerof",     [FARM_SLAVEOF] = "slaveof", [FARM_GETSTATE] = "getstate",
    [FARM_SETSTATE] = "setstate", [FARM_CONFIG] = "config",   [FARM_CLIENT] = "client",
    [FARM_AUTH] = "auth",         [FARM_PING] = "ping",       [FARM_OTHER] = "other",
};

void farm_report_poll(struct farm *f, struct farm_redis *r)
{
    if (r->was_polled) {
        return;
    }
    r->was_polled = true;
    f->report.polled++;
    if (f->report.polled == f->count) {
        f->report.all_polled_at_us = clock_mono_us();
    }
}

void farm_report_corrected(struct farm *f, int64_t took_ms)
{
    struct farm_report *report = &f->report;
    report->corrected++;
    if (report->times_count == TIMES_MAX) {
        return;
    }
    if (report->times_count == report->times_cap) {
        report->times_cap = report->times_cap ? report->times_cap * 2 : 1024;
        report->times_ms = xrealloc(report->times_ms, report->times_cap, sizeof(uint32_t));
    }
    report->times_ms[report->times_count++] = (uint32_t)took_ms;
}

void farm_report_reset(struct farm *f)
{
    struct farm_report *old = &f->report;
    free(old->times_ms);
    f->report = (struct farm_report){ .connected = old->connected };
    for (size_t i = 0; i < f->count; i++) {
        f->redises[i].was_polled = false;
    }
    farm_clients_reset(f);
}

static int compare_times(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The nearest rank, on sorted times. */
static uint32_t percentile(const uint32_t *times, size_t count, size_t per_mille)
{
    return count > 0 ? times[(count * per_mille + 999) / 1000 - 1] : 0;
}

void farm_report_times(uint32_t *times_ms, size_t count, struct str *out)
{
    if (count > 0) {
        qsort(times_ms, count, sizeof(*times_ms), compare_times);
    }
    str_printf(out, "\"p50_ms\":%u,\"p99_ms\":%u,\"max_ms\":%u", percentile(times_ms, count, 500),
               percentile(times_ms, count, 990), percentile(times_ms, count, 1000));
}

void farm_report_json(const struct farm *f, struct str *out)
{
    const struct farm_report *report = &f->report;
    size_t wrong = 0;
    size_t faulty = 0;
    for (size_t i = 0; i < f->count; i++) {
        wrong += f->redises[i].broken_at != MONO_NEVER;
        faulty += f->redises[i].fault != 0;
    }
    str_puts(out, "{\"commands\":{");
    for (size_t i = 0; i < FARM_COMMANDS; i++) {
        str_printf(out, "%s\"%s\":%" PRIu64, i ? "," : "", command_names[i], report->commands[i]);
    }
    str_printf(out,
               "},\"unanswered\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"connected\":%" PRIu64
               ",\"bad_commands\":%" PRIu64 ",\"polled\":%zu,\"all_polled_at_us\":%" PRId64
               ",\"faulty\":%zu",
               report->unanswered, report->accepted, report->connected, report->bad_commands,
               report->polled, report->all_polled_at_us, faulty);
    str_printf(out,
               ",\"broken\":%" PRIu64 ",\"corrected\":%" PRIu64 ",\"needless\":%" PRIu64
               ",\"refreshed\":%" PRIu64 ",\"foreign\":%" PRIu64 ",\"harmful\":%" PRIu64
               ",\"wrong_now\":%zu,",
               report->broken, report->corrected, report->needless, report->refreshed,
               report->foreign, report->harmful, wrong);
    farm_report_times(report->times_ms, report->times_count,
                      out); /* their order matters to nobody */
    str_putc(out, '}');
}
