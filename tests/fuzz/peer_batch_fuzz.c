/* peer_batch_fuzz.c - what another DC's metaserver answers to POST /api/meta/v2/peermasters, for three shards asked for:
 * each is told once at most, with an address, whatever the text says. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "meta/peers/peer_batch.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define ASKED 3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const struct peer_batch *b)
{
    bool seen[ASKED] = { false };
    xp_check(b->told_count <= ASKED);
    for (size_t i = 0; i < b->told_count; i++) {
        const struct told_master *told = &b->told[i];
        xp_check(told->name < ASKED && !seen[told->name]);
        xp_check(!addr_is_none(&told->master.addr));
        xp_check(told->master.addr.port >= 1 && told->master.addr.port <= 65535);
        seen[told->name] = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const shards[ASKED] = { "s1", "s2", "s3" };
    struct peer_batch batch = { .kind = PEER_BATCH_ASK,
                                .base_url = xstrdup("http://x"),
                                .own_dc = xstrdup("jq") };
    batch.names.items = xcalloc(ASKED, sizeof(*batch.names.items));
    for (batch.names.count = 0; batch.names.count < ASKED; batch.names.count++) {
        batch.names.items[batch.names.count] =
            (struct shard_name){ .cluster = xstrdup("c1"),
                                 .shard = xstrdup(shards[batch.names.count]) };
    }
    AUTO_FREE char *text = xstrndup((const char *)bytes, size);
    int rc = peer_batch_take_answer(&batch, text, size);
    xp_check(rc == 0 || batch.told_count == 0);
    check(&batch);
    peer_batch_done(&batch);
    return 0;
}
