/* upstream_batch_fuzz.c - what another DC's metaserver answers to POST /api/meta/v2/upstreams: see batch_fuzz.h. A keeper is told to
 * pull from what comes out, so it is a numeric address that an instance can have. The same text as the answer of a Java
 * metaserver about one shard must come to no worse. */
#include "meta/keepers/upstream_row.h"
#include "meta/keepers/upstream_words.h"
#include "tests/fuzz/batch_fuzz.h"

#include "shared/base/banned.h"

static void check(const struct dc_answer *answer)
{
    xp_check(upstream_addr_is_good(&answer->addr));
    xp_check(answer->number >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct dc_answer single;
    fuzz_batch(&upstream_words, bytes, size, check);
    AUTO_FREE char *text = xstrndup((const char *)bytes, size);
    if (upstream_words.read_single(text, size, &single)) {
        check(&single);
    }
    return 0;
}
