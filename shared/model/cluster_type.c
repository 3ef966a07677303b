/* cluster_type.c - see cluster_type.h. */
#include "shared/model/cluster_type.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* clang-format off */
static const struct cluster_type_info types[] = {
    /* type                                   keepers migrates checked multi  supported */
    { CLUSTER_UNKNOWN,      "UNKNOWN",        false,  false,   false,  false, false },
    { CLUSTER_ONE_WAY,      "ONE_WAY",        true,   true,    true,   false, true },
    { CLUSTER_BI_DIRECTION, "BI_DIRECTION",   false,  false,   true,   true,  true },
    { CLUSTER_SINGLE_DC,    "SINGLE_DC",      false,  false,   false,  false, true },
    { CLUSTER_LOCAL_DC,     "LOCAL_DC",       false,  false,   false,  true,  true },
    { CLUSTER_CROSS_DC,     "CROSS_DC",       false,  false,   false,  true,  true },
    { CLUSTER_HETERO,       "HETERO",         true,   true,    true,   false, false },
};
/* clang-format on */

const struct cluster_type_info *cluster_type_info(enum cluster_type type)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (types[i].type == type) {
            return &types[i];
        }
    }
    return &types[0];
}

enum cluster_type cluster_type_from_text(const char *text)
{
    for (size_t i = 1; i < ARRAY_LEN(types); i++) { /* the word UNKNOWN itself is no type */
        if (text_eq_nocase(text, types[i].name)) {
            return types[i].type;
        }
    }
    return CLUSTER_UNKNOWN;
}
