/* meta_urls.c - see meta_urls.h. */
#include "console/notify/meta_urls.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "shared/base/banned.h"

static char *without_slashes(const char *url)
{
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/') {
        length--;
    }
    return xstrndup(url, length);
}

void meta_urls_done(struct meta_urls *m)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&m->urls, &at))) {
        free(slot->value);
    }
    map_done(&m->urls);
}

int meta_urls_load(struct meta_urls *m, const char *text, const struct dc_alias *alias,
                   struct xp_err *err)
{
    json_auto_t *map = NULL;
    if (jd_parse(text, strlen(text), &map, err) < 0) {
        return xp_wrap(err, "metaservers");
    }
    const char *dc;
    json_t *url;
    json_object_foreach (map, dc, url) {
        if (text_is_empty(json_string_value(url))) {
            return xp_fail(err, XP_INVALID, "metaservers: member '%s' is not an address", dc);
        }
    }
    meta_urls_done(m);
    json_object_foreach (map, dc, url) {
        free(map_put(&m->urls, dc_alias_inner(alias, dc), without_slashes(json_string_value(url))));
    }
    return 0;
}

const char *meta_urls_get(const struct meta_urls *m, const char *inner_dc)
{
    return map_get(&m->urls, inner_dc);
}
