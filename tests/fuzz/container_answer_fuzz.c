/* container_answer_fuzz.c - what a keeper container answers: its list of keepers, who has a port, and whether it did what it was
 * told. The first byte chooses the status and the step. A list is all or nothing: what comes out has shards and addresses. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "meta/keepers/container_wire.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_list(const char *text, size_t length)
{
    CLEANUP(container_listing_done) struct container_listing listing = { 0 };
    struct xp_err err;
    if (container_listing_parse(text, length, &listing, &err) < 0) {
        xp_check(listing.count == 0 && !listing.items);
        return;
    }
    xp_check(length > 0 && listing.count <= CONTAINER_LISTING_MAX);
    for (size_t i = 0; i < listing.count; i++) {
        xp_check(listing.items[i].shard_id > 0);
        xp_check(addr_is_numeric(&listing.items[i].keeper.addr));
        xp_check(listing.items[i].keeper.addr.port > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const int statuses[] = { 200, 204, 400, 500 };
    if (size == 0) {
        return 0;
    }
    size_t length = size - 1;
    AUTO_FREE char *copy = xcalloc(size, 1); /* ends with a NUL, as a reply does */
    memcpy(copy, bytes + 1, length);
    struct http_reply reply = { .status = statuses[bytes[0] & 3], .body = copy, .length = length };
    struct container_call call = { .container = addr_of("10.0.0.1", 8080),
                                   .cluster_id = 1,
                                   .shard_id = 2,
                                   .keeper.addr = addr_of("10.0.0.1", 6380) };
    struct container_holder holder = { 0 };
    struct xp_err err;
    read_list(copy, length);
    (void)!container_answer(&call, (enum container_step)(bytes[0] >> 2 & 3), &reply, &err);
    if (container_holder_parse(&call, &reply, &holder, &err) == 0) {
        xp_check(holder.shard_id == 0 || holder.trans);
        container_holder_done(&holder);
    }
    return 0;
}
