/* migration_events_internal.h - between the files of migration_events.h only. Thread: the one that owns the connection. */
#ifndef CONSOLE_MIGRATION_MIGRATION_EVENTS_INTERNAL_H
#define CONSOLE_MIGRATION_MIGRATION_EVENTS_INTERNAL_H

#include "console/catalog/lookup.h"
#include "console/migration/migration_events.h"

/* A DC's name as clients of the old face say it. */
static inline const char *outer_name(const struct catalog *cat, const char *inner)
{
    return dc_alias_outer(cat->alias, inner);
}

#define EVENTS_PAGE_MAX 1000

/* 'fn' gets a read_job whose ret is a json_t **; what it leaves there is freed on failure. */
int read_events_json(const struct catalog *, int (*fn)(struct db *, void *, struct xp_err *),
                     const void *args, json_t **ret, struct xp_err *) XP_MUST_CHECK;

struct id_list {
    int64_t *items;
    size_t count;
};
void id_list_done(struct id_list *);
/* The ids of an event's migration_cluster_tbl rows; none: there is no such event. */
int event_rows(struct db *, int64_t event_id, struct id_list *ret, struct xp_err *) XP_MUST_CHECK;

/* 2024-01-02T03:04:05.000+0000; null for 0. */
json_t *event_date(wall_ms at);

#endif
