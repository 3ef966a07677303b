/* fake_dc_links.c - see fake_dc_links.h. */
#include "tests/sim/fake_dc_links.h"

#include "shared/base/map.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct calls {
    int asked;
    int told;
    struct addr told_addr;
};

struct dc_links {
    struct map by_dc; /* struct calls *, owned */
};

static struct calls *calls_of(struct dc_links *links, const char *dc)
{
    struct calls *calls = map_get(&links->by_dc, dc);
    if (!calls) {
        calls = xcalloc(1, sizeof(*calls));
        (void)map_put(&links->by_dc, dc, calls);
    }
    return calls;
}

struct dc_links *fake_dc_links_new(void)
{
    struct dc_links *links = xcalloc(1, sizeof(*links));
    links->by_dc = MAP_INIT(MAP_TEXT);
    return links;
}

int fake_dc_links_asked(const struct dc_links *links, const char *dc)
{
    const struct calls *calls = map_get(&links->by_dc, dc);
    return calls ? calls->asked : 0;
}

int fake_dc_links_told(const struct dc_links *links, const char *dc)
{
    const struct calls *calls = map_get(&links->by_dc, dc);
    return calls ? calls->told : 0;
}

struct addr fake_dc_links_told_addr(const struct dc_links *links, const char *dc)
{
    const struct calls *calls = map_get(&links->by_dc, dc);
    return calls ? calls->told_addr : (struct addr){ 0 };
}

/* ---- dc_links.h ---- */

struct dc_links *dc_links_new(const struct dc_links_options *options)
{
    (void)options;
    return fake_dc_links_new();
}

void dc_links_free(struct dc_links *links)
{
    if (!links) {
        return;
    }
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&links->by_dc, &at));) {
        free(slot->value);
    }
    map_done(&links->by_dc);
    free(links);
}

void dc_links_set_periods(struct dc_links *links, int64_t refresh_ms)
{
    (void)links;
    (void)refresh_ms;
}

void dc_links_ask(struct dc_links *links, const char *dc, const char *cluster, const char *shard)
{
    (void)cluster;
    (void)shard;
    calls_of(links, dc)->asked++;
}

void dc_links_tell(struct dc_links *links, const char *dc, const char *cluster, const char *shard,
                   const struct addr *addr)
{
    struct calls *calls = calls_of(links, dc);
    (void)cluster;
    (void)shard;
    calls->told++;
    calls->told_addr = addr ? *addr : (struct addr){ 0 };
}

json_t *dc_links_json(const struct dc_links *links)
{
    return json_pack("{s:I}", "dcs", (json_int_t)map_count(&links->by_dc));
}
