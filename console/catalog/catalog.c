/* catalog.c - see catalog.h. */
#include "console/catalog/catalog.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

void catalog_result_done(struct catalog_result *result)
{
    for (size_t i = 0; i < result->effects.count; i++) {
        struct catalog_effect *effect = &result->effects.items[i];
        free(effect->cluster);
        free(effect->cluster_type);
        names_done(&effect->dcs);
    }
    free(result->effects.items);
    *result = (struct catalog_result){ 0 };
}

int type_set_parse(const char *comma_list, unsigned *ret_types, struct xp_err *err)
{
    const char *cursor = comma_list ? comma_list : "";
    const char *part = NULL;
    size_t length = 0;
    unsigned types = 0;
    while (text_next_part(&cursor, ",", &part, &length)) {
        AUTO_FREE char *name = xstrndup(part, length);
        enum cluster_type type = cluster_type_from_text(name);
        if (type == CLUSTER_UNKNOWN) {
            return xp_fail(err, XP_INVALID, "unknown cluster type %s", name);
        }
        types |= TYPE_BIT(type);
    }
    *ret_types = types;
    return 0;
}
