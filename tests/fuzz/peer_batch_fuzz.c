/* peer_batch_fuzz.c - what another DC's metaserver answers to POST /api/meta/v2/peermasters: see batch_fuzz.h. */
#include "meta/peers/master_words.h"
#include "tests/fuzz/batch_fuzz.h"

#include "shared/base/banned.h"

static void check(const struct dc_answer *answer)
{
    xp_check(answer->number >= INT32_MIN && answer->number <= INT32_MAX); /* it becomes an int */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_batch(&master_words, bytes, size, check);
    return 0;
}
