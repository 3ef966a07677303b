/* batch_fuzz.h - an answer of another DC's metaserver to a batch that asked for three shards, whatever it says: each shard is told
 * once at most, with an address. For the targets of both subjects (peer_batch, upstream_batch). */
#ifndef TESTS_FUZZ_BATCH_FUZZ_H
#define TESTS_FUZZ_BATCH_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "meta/links/dc_batch.h"
#include "shared/base/mem.h"

#define BATCH_ASKED 3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* 'check' looks at each answer. */
static void fuzz_batch(const struct dc_words *words, const uint8_t *bytes, size_t size,
                       void (*check)(const struct dc_answer *answer))
{
    static const char *const shards[BATCH_ASKED] = { "s1", "s2", "s3" };
    bool seen[BATCH_ASKED] = { false };
    struct dc_batch batch = {
        .words = words,
        .lane = DC_ASK,
        .base_url = xstrdup("http://x"),
        .own_dc = xstrdup("jq"),
        .topics = xcalloc(BATCH_ASKED, sizeof(*batch.topics)),
    };
    for (; batch.count < BATCH_ASKED; batch.count++) {
        batch.topics[batch.count].name =
            (struct shard_name){ .cluster = xstrdup("c1"), .shard = xstrdup(shards[batch.count]) };
    }
    AUTO_FREE char *text = xstrndup((const char *)bytes, size);
    int rc = dc_batch_take_answer(&batch, text, size);
    xp_check(rc == 0 || batch.told_count == 0);
    xp_check(batch.told_count <= BATCH_ASKED);
    for (size_t i = 0; i < batch.told_count; i++) {
        const struct dc_told *told = &batch.told[i];
        xp_check(told->topic < BATCH_ASKED && !seen[told->topic]);
        xp_check(!addr_is_none(&told->answer.addr));
        xp_check(told->answer.addr.port >= 1 && told->answer.addr.port <= 65535);
        check(&told->answer);
        seen[told->topic] = true;
    }
    dc_batch_done(&batch);
}

#endif
