/* dc_hosts.c - see dc_hosts.h. */
#include "meta/dcmeta/dc_hosts.h"

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static void clear(struct dc_hosts *hosts)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&hosts->containers, &at));) {
        free(slot->value);
    }
    at = 0;
    for (const struct map_slot *slot; (slot = map_next(&hosts->sentinels, &at));) {
        struct sentinel_meta *group = slot->value;
        free(group->address);
        free(group->cluster_type);
        free(group);
    }
    map_done(&hosts->containers);
    map_done(&hosts->sentinels);
}

void dc_hosts_init(struct dc_hosts *hosts)
{
    hosts->containers = MAP_INIT(MAP_NUMBER);
    hosts->sentinels = MAP_INIT(MAP_NUMBER);
}

void dc_hosts_done(struct dc_hosts *hosts)
{
    clear(hosts);
}

static struct sentinel_meta *copy_of_group(const struct sentinel_meta *group)
{
    struct sentinel_meta *copy = xcalloc(1, sizeof(*copy));
    *copy = (struct sentinel_meta){ .id = group->id,
                                    .address = xstrdup(group->address),
                                    .cluster_type = xstrdup(group->cluster_type) };
    return copy;
}

static bool containers_differ(const struct map *a, const struct map *b)
{
    size_t at = 0;
    bool is_same = map_count(a) == map_count(b);
    for (const struct map_slot *slot; is_same && (slot = map_next(a, &at));) {
        const struct keeper_container_meta *c = slot->value;
        const struct keeper_container_meta *other = map_get_n(b, (uint64_t)c->id);
        is_same = other && addr_eq(&c->addr, &other->addr);
    }
    return !is_same;
}

static bool sentinels_differ(const struct map *a, const struct map *b)
{
    size_t at = 0;
    bool is_same = map_count(a) == map_count(b);
    for (const struct map_slot *slot; is_same && (slot = map_next(a, &at));) {
        const struct sentinel_meta *group = slot->value;
        const struct sentinel_meta *other = map_get_n(b, (uint64_t)group->id);
        is_same = other && text_eq(group->address, other->address) &&
                  text_eq(group->cluster_type, other->cluster_type);
    }
    return !is_same;
}

/* Of two with one id the first counts. */
static void fill(struct dc_hosts *hosts, const struct dc_meta *document)
{
    for (size_t i = 0; i < document->containers.count; i++) {
        const struct keeper_container_meta *c = &document->containers.items[i];
        if (!map_get_n(&hosts->containers, (uint64_t)c->id)) {
            (void)map_put_n(&hosts->containers, (uint64_t)c->id, xmemdup(c, sizeof(*c)));
        }
    }
    for (size_t i = 0; i < document->sentinels.count; i++) {
        const struct sentinel_meta *group = &document->sentinels.items[i];
        if (!map_get_n(&hosts->sentinels, (uint64_t)group->id)) {
            (void)map_put_n(&hosts->sentinels, (uint64_t)group->id, copy_of_group(group));
        }
    }
}

bool dc_hosts_set(struct dc_hosts *hosts, const struct dc_meta *document)
{
    struct dc_hosts old = *hosts;
    dc_hosts_init(hosts);
    fill(hosts, document);
    bool is_changed = containers_differ(&old.containers, &hosts->containers) ||
                      sentinels_differ(&old.sentinels, &hosts->sentinels);
    clear(&old);
    return is_changed;
}

void dc_hosts_copy(const struct dc_hosts *hosts, struct dc_meta *ret_document)
{
    size_t count;
    AUTO_FREE void **containers = map_sorted(&hosts->containers, &count);
    ret_document->containers.items = xcalloc(count, sizeof(*ret_document->containers.items));
    ret_document->containers.count = count;
    for (size_t i = 0; i < count; i++) {
        ret_document->containers.items[i] = *(const struct keeper_container_meta *)containers[i];
    }
    AUTO_FREE void **groups = map_sorted(&hosts->sentinels, &count);
    ret_document->sentinels.items = xcalloc(count, sizeof(*ret_document->sentinels.items));
    ret_document->sentinels.count = count;
    for (size_t i = 0; i < count; i++) {
        const struct sentinel_meta *group = groups[i];
        ret_document->sentinels.items[i] =
            (struct sentinel_meta){ .id = group->id,
                                    .address = xstrdup(group->address),
                                    .cluster_type = xstrdup(group->cluster_type) };
    }
}

bool dc_hosts_container(const struct dc_hosts *hosts, int64_t id, struct addr *ret_addr)
{
    const struct keeper_container_meta *c = map_get_n(&hosts->containers, (uint64_t)id);
    if (!c) {
        return false;
    }
    *ret_addr = c->addr;
    return true;
}

bool dc_hosts_container_at(const struct dc_hosts *hosts, const char *host, struct addr *ret_addr)
{
    const struct keeper_container_meta *found = NULL;
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&hosts->containers, &at));) {
        const struct keeper_container_meta *c = slot->value;
        if (text_eq_nocase(c->addr.host, host) && (!found || c->id < found->id)) {
            found = c;
        }
    }
    if (found) {
        *ret_addr = found->addr;
    }
    return found != NULL;
}

const char *dc_hosts_sentinels(const struct dc_hosts *hosts, int64_t id)
{
    const struct sentinel_meta *group = map_get_n(&hosts->sentinels, (uint64_t)id);
    return group ? group->address : NULL;
}
