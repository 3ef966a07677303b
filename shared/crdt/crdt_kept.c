/* crdt_kept.c - what is kept of a reply between two polls (see crdt_info.h): header, peers and texts in one block. */
#include "shared/crdt/crdt_info.h"
#include "shared/base/mem.h"

#include <string.h>

#include "shared/base/banned.h"

#define HEAD_BYTES offsetof(struct crdt_info, peers)

struct crdt_kept {
    size_t size_bytes;
    unsigned char head[HEAD_BYTES]; /* a struct crdt_info up to its peers */
    size_t peer_count;
    struct crdt_peer peers[]; /* and behind them their texts */
};

static size_t texts_bytes(const struct crdt_peer *peer)
{
    return peer->proxy_servers.length + peer->proxy_server.length + peer->proxy_params.length;
}

/* Copies the text to *at and points to the copy. An empty text stays different from an absent one. */
static void move_text(struct crdt_text *text, char **at)
{
    if (text->length > 0) {
        memcpy(*at, text->bytes, text->length);
    }
    if (text->bytes) {
        text->bytes = *at;
    }
    *at += text->length;
}

struct crdt_kept *crdt_info_keep(const struct crdt_info *info)
{
    size_t peers_bytes = info->peer_count * sizeof(struct crdt_peer);
    /* room for the end of empty texts */
    size_t size_bytes = sizeof(struct crdt_kept) + peers_bytes + 1;
    for (size_t i = 0; i < info->peer_count; i++) {
        size_bytes += texts_bytes(&info->peers[i]);
    }
    struct crdt_kept *kept = xmalloc(size_bytes);
    kept->size_bytes = size_bytes;
    kept->peer_count = info->peer_count;
    memcpy(kept->head, info, HEAD_BYTES);
    memcpy(kept->peers, info->peers, peers_bytes);
    char *at = (char *)&kept->peers[info->peer_count];
    for (size_t i = 0; i < info->peer_count; i++) {
        move_text(&kept->peers[i].proxy_servers, &at);
        move_text(&kept->peers[i].proxy_server, &at);
        move_text(&kept->peers[i].proxy_params, &at);
    }
    return kept;
}

void crdt_kept_free(struct crdt_kept *kept)
{
    free(kept);
}

void crdt_kept_view(const struct crdt_kept *kept, struct crdt_info *ret_info)
{
    memcpy(ret_info, kept->head, HEAD_BYTES);
    memcpy(ret_info->peers, kept->peers, kept->peer_count * sizeof(struct crdt_peer));
}

size_t crdt_kept_bytes(const struct crdt_kept *kept)
{
    return kept->size_bytes;
}
