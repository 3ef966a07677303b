/* cluster_meta_fuzz.c - pushed clusters: what is accepted equals itself after a round trip. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/model/dc_meta.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cluster_meta *cluster = NULL;
    struct cluster_meta *again = NULL;
    struct xp_err err;
    json_t *json = NULL;
    if (jd_parse((const char *)bytes, size, &json, &err)) {
        return 0;
    }
    if (cluster_meta_from_json(json, &cluster, &err) == 0) {
        json_t *written = cluster_meta_to_json(cluster);
        if (cluster_meta_from_json(written, &again, &err) || !cluster_meta_eq(cluster, again)) {
            abort();
        }
        json_decref(written);
    }
    json_decref(json);
    cluster_meta_unref(cluster);
    cluster_meta_unref(again);
    return 0;
}
