/* farm_clients.c - who talks to the instances: what each client polled and commanded, how long nobody polled.
 *
 * A metaserver gives its name (CLIENT SETNAME) on each new connection and connects anew for each slot it gains. So the client
 * that introduced itself last to an instance is its owner here, and a PEEROF of anybody else is "foreign": of one that lost
 * the instance and does not know. Of what the farm reads in one turn of its loop it cannot tell the order: it must have read the
 * name of the new owner in an earlier one.
 * Every PEEROF is kept for who knows more about owners than the farm does: bench/takeover.py compares with ZooKeeper. */
#include <inttypes.h>
#include <string.h>

#include "bench/farm.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define CLIENTS_MAX 64
#define PEEROFS_MAX 65536 /* the latest so many are kept */
/* a line of the control port stays far smaller than a socket's buffer */
#define PEEROFS_AT_ONCE 300

struct client {
    char name[FARM_CLIENT_NAME_MAX];
    uint64_t polls;
    uint64_t peerofs;
    uint64_t foreign;
};

struct farm_clients {
    size_t count;
    struct client client[CLIENTS_MAX]; /* the first one has no name */
    struct farm_peerof *peerofs;       /* ring */
    uint64_t peerof_count;             /* ever */
    size_t lost_count;
    int64_t lost_at_us;
    int64_t reset_at_us;
};

void farm_clients_start(struct farm *f)
{
    f->clients = xcalloc(1, sizeof(*f->clients));
    f->clients->count = 1;
    f->clients->peerofs = xcalloc(PEEROFS_MAX, sizeof(*f->clients->peerofs));
    f->clients->reset_at_us = clock_mono_us();
}

void farm_clients_stop(struct farm *f)
{
    if (f->clients) {
        free(f->clients->peerofs);
        free(TAKE(f->clients));
    }
}

/* ---- what happens ---- */

static uint8_t find_client(const struct farm_clients *c, const char *name)
{
    for (size_t i = 1; i < c->count; i++) {
        if (strcmp(c->client[i].name, name) == 0) {
            return (uint8_t)i;
        }
    }
    return FARM_NO_CLIENT;
}

bool farm_client_named(struct farm *f, struct farm_redis *r, const char *name, uint8_t *ret_client)
{
    struct farm_clients *c = f->clients;
    size_t length = strlen(name);
    uint8_t client = find_client(c, name);
    if (client == FARM_NO_CLIENT && length > 0 && length < FARM_CLIENT_NAME_MAX &&
        strcspn(name, "\"\\ \r\n") == length && c->count < CLIENTS_MAX) {
        client = (uint8_t)c->count++;
        memcpy(c->client[client].name, name, length + 1);
    }
    if (client == FARM_NO_CLIENT) {
        return false;
    }
    r->owner = client;
    r->owner_at = f->turn_at;
    *ret_client = client;
    return true;
}

static int64_t open_gap_us(const struct farm_clients *c, const struct farm_redis *r, int64_t now_us)
{
    return now_us - (r->polled_us ? r->polled_us : c->reset_at_us);
}

void farm_client_polled(struct farm *f, struct farm_redis *r, uint8_t client)
{
    struct farm_clients *c = f->clients;
    int64_t now_us = clock_mono_us();
    int64_t gap_us = open_gap_us(c, r, now_us);
    c->client[client].polls++;
    r->gap_us = gap_us > r->gap_us ? gap_us : r->gap_us;
    if (r->is_lost && client != r->poller) {
        r->is_lost = false;
        r->served_us = now_us - c->lost_at_us;
    }
    r->poller = client;
    r->polled_us = now_us;
}

void farm_client_commanded(struct farm *f, const struct farm_redis *r, uint8_t client,
                           enum farm_outcome outcome, int64_t took_ms)
{
    struct farm_clients *c = f->clients;
    bool is_foreign = client != r->owner && r->owner_at <= f->turn_before;
    c->client[client].peerofs++;
    c->client[client].foreign += is_foreign;
    f->report.foreign += is_foreign;
    c->peerofs[c->peerof_count++ % PEEROFS_MAX] =
        (struct farm_peerof){ .at_us = clock_mono_us(),
                              .took_ms = took_ms,
                              .waited_ms = clock_mono_ms() - f->turn_before + 1,
                              .number = (uint32_t)r->number,
                              .client = client,
                              .outcome = outcome,
                              .is_foreign = is_foreign };
}

void farm_clients_reset(struct farm *f)
{
    struct farm_clients *c = f->clients;
    c->reset_at_us = clock_mono_us();
    for (size_t i = 0; i < c->count; i++) {
        c->client[i].polls = 0;
        c->client[i].peerofs = 0;
        c->client[i].foreign = 0;
    }
    for (size_t i = 0; i < f->count; i++) {
        f->redises[i].gap_us = 0;
    }
}

bool farm_client_lost(struct farm *f, const char *name)
{
    struct farm_clients *c = f->clients;
    uint8_t client = find_client(c, name);
    if (client == FARM_NO_CLIENT) {
        return false;
    }
    c->lost_at_us = clock_mono_us();
    c->lost_count = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct farm_redis *r = &f->redises[i];
        r->is_lost = r->polled_us && r->poller == client;
        r->served_us = 0;
        c->lost_count += r->is_lost;
    }
    return true;
}

/* ---- what is told ---- */

void farm_clients_json(const struct farm *f, struct str *out)
{
    const struct farm_clients *c = f->clients;
    size_t shares[CLIENTS_MAX] = { 0 };
    for (size_t i = 0; i < f->count; i++) {
        shares[f->redises[i].poller] += f->redises[i].polled_us != 0;
    }
    str_putc(out, '{');
    for (size_t i = 0; i < c->count; i++) {
        const struct client *client = &c->client[i];
        str_printf(out,
                   "%s\"%s\":{\"instances\":%zu,\"polls\":%" PRIu64 ",\"peerofs\":%" PRIu64
                   ",\"foreign\":%" PRIu64 "}",
                   i ? "," : "", client->name, shares[i], client->polls, client->peerofs,
                   client->foreign);
    }
    str_putc(out, '}');
}

void farm_gaps_json(const struct farm *f, struct str *out)
{
    int64_t now_us = clock_mono_us();
    AUTO_FREE uint32_t *times = xcalloc(f->count, sizeof(*times));
    size_t longest = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct farm_redis *r = &f->redises[i];
        int64_t open_us = open_gap_us(f->clients, r, now_us);
        times[i] = (uint32_t)((open_us > r->gap_us ? open_us : r->gap_us) / 1000);
        longest = times[i] > times[longest] ? i : longest;
    }
    str_printf(out, "{\"longest\":%zu,", longest);
    farm_report_times(times, f->count, out);
    str_putc(out, '}');
}

void farm_lost_json(const struct farm *f, struct str *out)
{
    AUTO_FREE uint32_t *times = xcalloc(f->count, sizeof(*times));
    size_t served = 0;
    size_t waiting = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct farm_redis *r = &f->redises[i];
        waiting += r->is_lost;
        if (!r->is_lost && r->served_us) {
            times[served++] = (uint32_t)(r->served_us / 1000);
        }
    }
    str_printf(out, "{\"lost\":%zu,\"waiting\":%zu,\"at_us\":%" PRId64 ",", f->clients->lost_count,
               waiting, f->clients->lost_at_us);
    farm_report_times(times, served, out);
    str_putc(out, '}');
}

void farm_peerofs_json(const struct farm *f, uint64_t from, struct str *out)
{
    static const char *const outcomes[] = { [FARM_CORRECTED] = "corrected",
                                            [FARM_NEEDLESS] = "needless",
                                            [FARM_NOT_MENDED] = "not mended",
                                            [FARM_REFRESHED] = "refreshed" };
    const struct farm_clients *c = f->clients;
    uint64_t oldest = c->peerof_count > PEEROFS_MAX ? c->peerof_count - PEEROFS_MAX : 0;
    uint64_t at = from < oldest ? oldest : from;
    uint64_t end = c->peerof_count > at + PEEROFS_AT_ONCE ? at + PEEROFS_AT_ONCE : c->peerof_count;
    str_printf(out, "{\"missed\":%" PRIu64 ",\"peerofs\":[", at - from);
    for (uint64_t i = at; i < end; i++) {
        const struct farm_peerof *p = &c->peerofs[i % PEEROFS_MAX];
        str_printf(out, "%s[%" PRId64 ",%u,\"%s\",\"%s\",%" PRId64 ",%s,%" PRId64 "]",
                   i > at ? "," : "", p->at_us, p->number, c->client[p->client].name,
                   outcomes[p->outcome], p->took_ms, p->is_foreign ? "true" : "false",
                   p->waited_ms);
    }
    str_printf(out, "],\"next\":%" PRIu64 "}", end > at ? end : at);
}
