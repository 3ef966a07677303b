/* fake_peer_links.c - see fake_peer_links.h. */
#include "tests/sim/fake_peer_links.h"

#include "shared/base/map.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct calls {
    int asked;
    int told;
};

struct peer_links {
    struct map by_dc; /* struct calls *, owned */
};

static struct calls *calls_of(struct peer_links *links, const char *dc)
{
    struct calls *calls = map_get(&links->by_dc, dc);
    if (!calls) {
        calls = xcalloc(1, sizeof(*calls));
        (void)map_put(&links->by_dc, dc, calls);
    }
    return calls;
}

struct peer_links *fake_peer_links_new(void)
{
    struct peer_links *links = xcalloc(1, sizeof(*links));
    links->by_dc = MAP_INIT(MAP_TEXT);
    return links;
}

int fake_peer_links_asked(const struct peer_links *links, const char *dc)
{
    const struct calls *calls = map_get(&links->by_dc, dc);
    return calls ? calls->asked : 0;
}

int fake_peer_links_told(const struct peer_links *links, const char *dc)
{
    const struct calls *calls = map_get(&links->by_dc, dc);
    return calls ? calls->told : 0;
}

/* ---- peer_links.h ---- */

struct peer_links *peer_links_new(const struct peer_links_options *options)
{
    (void)options;
    return fake_peer_links_new();
}

void peer_links_free(struct peer_links *links)
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

void peer_links_set_periods(struct peer_links *links, int64_t refresh_ms)
{
    (void)links;
    (void)refresh_ms;
}

void peer_links_ask(struct peer_links *links, const char *dc, const char *cluster,
                    const char *shard)
{
    (void)cluster;
    (void)shard;
    calls_of(links, dc)->asked++;
}

void peer_links_tell(struct peer_links *links, const char *dc, const char *cluster,
                     const char *shard)
{
    (void)cluster;
    (void)shard;
    calls_of(links, dc)->told++;
}

json_t *peer_links_json(const struct peer_links *links)
{
    return json_pack("{s:I}", "dcs", (json_int_t)map_count(&links->by_dc));
}
