/* dc_meta_fuzz.c - DC documents: what is accepted must survive being written and read again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/model/dc_meta.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct dc_meta *meta = NULL;
    struct dc_meta *again = NULL;
    struct xp_err err;
    if (dc_meta_parse((const char *)bytes, size, &meta, &err)) {
        return 0;
    }
    json_t *json = dc_meta_to_json(meta);
    if (dc_meta_from_json(json, &again, &err) || again->clusters.count != meta->clusters.count) {
        abort();
    }
    for (size_t i = 0; i < meta->clusters.count; i++) {
        if (!cluster_meta_eq(meta->clusters.items[i], again->clusters.items[i])) {
            abort();
        }
    }
    json_decref(json);
    dc_meta_free(meta);
    dc_meta_free(again);
    return 0;
}
