/* outer_client.h - tells the client-routing platform (credis) about switches: pre-check, publication, excluded DCs (dr-switchover.md 5.3,
 * console-api.md 3.17); or, without one, a webhook: POST of {"event":"switched","cluster","dc","masters":[...],"epoch"} (docs/operations.md). Also
 * {"event":"excluded",...} and {"event":"diverged",...}.
 *
 *   credis.service.address      base URL: POST /keeperApi/checkcluster/{c}, /keeperApi/primarydc/{c}/{dc}, /keeperApi/excludedIdcs[/{c}]
 *   console.migration.webhook.url
 * Neither: everything succeeds, and publish_info says that nobody was told. 3 tries, 100 ms apart, within timeout_ms. Thread: loop. */
#ifndef CONSOLE_MIGRATION_OUTER_CLIENT_H
#define CONSOLE_MIGRATION_OUTER_CLIENT_H

#include <jansson.h>

#include "shared/base/addr.h"
#include "shared/base/clock.h"
#include "shared/net/http_client.h"

struct outer_client;
/* 'news': for what nobody waits for (outer_diverged), so that no switch waits behind it; may be NULL where nobody tells news. */
struct outer_client *outer_client_new(struct loop *, struct http_client *,
                                      struct http_client *news);
void outer_client_free(struct outer_client *);
struct outer_settings {
    const char *credis_url;  /* "" none */
    const char *webhook_url; /* "" none */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
};
void outer_client_configure(struct outer_client *, const struct outer_settings *);

struct outer_answer {
    bool is_ok;
    bool was_told; /* somebody out there was really told */
    const char *message;
    const char *address; /* who was told; "default-addr" */
    wall_ms start_ms, end_ms;
};
typedef void outer_fn(const struct outer_answer *,
                      void *arg); /* once, on the loop, not inside the call */
void outer_precheck(struct outer_client *, const char *cluster, outer_fn *, void *arg);
void outer_publish(struct outer_client *, const char *cluster, const char *dc,
                   const struct addr *masters, size_t count, int64_t epoch, outer_fn *, void *arg);
/* What a returned master had beyond the new one is told the webhook; a platform knows no word for it. Nobody waits for it: 3 tries, then a warning;
 * while OUTER_NEWS_MAX are on their way one more is left out with a warning (it is recorded: console/migration/divergences.h). */
#define OUTER_NEWS_MAX 64
void outer_diverged(struct outer_client *, json_t *take_body);
/* excluded: names of DCs; count 0 takes all of them back. */
void outer_exclude(struct outer_client *, const char *cluster, const char *const *excluded,
                   size_t count, outer_fn *, void *arg);
/* {"success","message","startTime","endTime","publishAddress","clusterName","primaryDcName","newMasters":[...],"told":bool}; owned text. */
char *outer_publish_info(const struct outer_answer *, const char *cluster, const char *dc,
                         const struct addr *masters, size_t count);

#endif
