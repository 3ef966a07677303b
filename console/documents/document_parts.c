/* document_parts.c - see document_parts.h.
 *
 * Two orders of the same parts: by cluster id, as the database lists them, and by name, as the document has them. A
 * cluster without a shard in the DC is a part without a text: known, and not in the document. */
#include "console/documents/document_parts.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "console/documents/document.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "shared/base/banned.h"

#define DIGEST_BYTES     32
#define TAG_DIGEST_BYTES 8

struct part {
    char *name;
    char *text; /* "name":{...}; NULL: nothing of the cluster is in the document */
    size_t length;
    unsigned char digest[DIGEST_BYTES]; /* of the text */
};

struct document_parts {
    struct snap_bound *known; /* by id; parts[i] is of known[i] */
    struct part **parts;
    struct part **by_name; /* those with a text */
    size_t count;
    size_t by_name_count;
};

/* ---- one part ---- */

static void part_free(struct part *p)
{
    if (p) {
        free(p->name);
        free(p->text);
        free(p);
    }
}

static char *dump(json_t *take_value)
{
    char *text = json_dumps(take_value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(take_value);
    xp_check(text != NULL); /* out of memory */
    return text;
}

static void digest_of(const void *bytes, size_t length, unsigned char ret_digest[DIGEST_BYTES])
{
    unsigned int size = 0;
    xp_check(EVP_Digest(bytes, length, ret_digest, &size, EVP_sha256(), NULL) == 1 &&
             size == DIGEST_BYTES);
}

static struct part *part_new(const struct dc_snapshot *snap, const struct snap_cluster *cluster)
{
    struct part *p = xcalloc(1, sizeof(*p));
    if (cluster) {
        char *key AUTO_FREE = dump(jd_text(cluster->name));
        char *value AUTO_FREE = dump(document_cluster(snap, cluster));
        p->name = xstrdup(cluster->name);
        p->text = xasprintf("%s:%s", key, value);
        p->length = strlen(p->text);
        digest_of(p->text, p->length, p->digest);
    }
    return p;
}

/* ---- all parts ---- */

struct document_parts *document_parts_new(void)
{
    return xcalloc(1, sizeof(struct document_parts));
}

static void free_all(struct document_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        part_free(parts->parts[i]); /* NULL: taken over by the next generation */
    }
    free(parts->known);
    free(parts->parts);
    free(parts->by_name);
}

void document_parts_free(struct document_parts *parts)
{
    if (parts) {
        free_all(parts);
        free(parts);
    }
}

const struct snap_bound *document_parts_known(const struct document_parts *parts, size_t *ret_count)
{
    *ret_count = parts->count;
    return parts->known;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = (*(const struct snap_cluster *const *)a)->id;
    int64_t y = (*(const struct snap_cluster *const *)b)->id;
    return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct part *const *)a)->name, (*(const struct part *const *)b)->name);
}

/* The clusters that were read, by id. Returns owned (free). */
static const struct snap_cluster **sorted_clusters(const struct dc_snapshot *snap)
{
    const struct snap_cluster **sorted = xcalloc(snap->cluster_count + 1, sizeof(*sorted));
    for (size_t i = 0; i < snap->cluster_count; i++) {
        sorted[i] = &snap->clusters[i];
    }
    qsort(sorted, snap->cluster_count, sizeof(*sorted), by_id);
    return sorted;
}

static void sort_by_name(struct document_parts *parts)
{
    parts->by_name = xcalloc(parts->count + 1, sizeof(struct part *));
    for (size_t i = 0; i < parts->count; i++) {
        if (parts->parts[i]->text) {
            parts->by_name[parts->by_name_count++] = parts->parts[i];
        }
    }
    qsort(parts->by_name, parts->by_name_count, sizeof(struct part *), by_name);
}

/* The old part when the cluster is as it was and was not read again; else NULL. */
static struct part *take_known(struct document_parts *old, size_t *at,
                               const struct snap_bound *bound)
{
    while (*at < old->count && old->known[*at].cluster_id < bound->cluster_id) {
        (*at)++;
    }
    bool is_same = *at < old->count && old->known[*at].cluster_id == bound->cluster_id &&
                   old->known[*at].version == bound->version;
    return is_same ? TAKE(old->parts[*at]) : NULL;
}

void document_parts_update(struct document_parts *parts, const struct dc_snapshot *snap)
{
    struct document_parts next = {
        .known = xcalloc(snap->bound_count + 1, sizeof(*next.known)),
        .parts = xcalloc(snap->bound_count + 1, sizeof(struct part *)),
        .count = snap->bound_count,
    };
    AUTO_FREE const struct snap_cluster **read = sorted_clusters(snap);
    size_t read_at = 0;
    size_t known_at = 0;
    for (size_t i = 0; i < next.count; i++) {
        const struct snap_bound *bound = &snap->bound[i];
        bool was_read = read_at < snap->cluster_count && read[read_at]->id == bound->cluster_id;
        const struct snap_cluster *cluster = was_read ? read[read_at++] : NULL;
        struct part *kept = was_read ? NULL : take_known(parts, &known_at, bound);
        next.known[i] = *bound;
        next.parts[i] = kept ? kept : part_new(snap, cluster);
    }
    xp_check(read_at == snap->cluster_count);
    sort_by_name(&next);
    free_all(parts);
    *parts = next;
}

/* ---- the document ---- */

static char *append(char *to, const char *bytes, size_t length)
{
    memcpy(to, bytes, length);
    return to + length;
}

struct blob *document_parts_join(const struct document_parts *parts, const struct dc_snapshot *snap)
{
    static const char clusters_open[] = ",\"clusters\":{";
    static const char routes_open[] = "},\"routes\":";
    char *head AUTO_FREE = dump(document_head(snap));
    char *routes AUTO_FREE = dump(document_routes(snap));
    size_t head_length = strlen(head) - 1; /* without the brace that closes it */
    size_t length = head_length + strlen(clusters_open) + strlen(routes_open) + strlen(routes) + 1;
    for (size_t i = 0; i < parts->by_name_count; i++) {
        length += parts->by_name[i]->length + (i > 0);
    }
    char *bytes = xmalloc(length + 1);
    char *to = append(bytes, head, head_length);
    to = append(to, clusters_open, strlen(clusters_open));
    for (size_t i = 0; i < parts->by_name_count; i++) {
        to = append(to, ",", i > 0);
        to = append(to, parts->by_name[i]->text, parts->by_name[i]->length);
    }
    to = append(to, routes_open, strlen(routes_open));
    to = append(to, routes, strlen(routes));
    to = append(to, "}", 2);
    xp_check(to == bytes + length + 1);
    return blob_new(bytes, length);
}

/* ---- ETags ---- */

/* Of all bytes of the document: the head and the routes, and the digests of the clusters. */
static void digest_all(const struct document_parts *parts, const struct dc_snapshot *snap,
                       unsigned char ret_digest[DIGEST_BYTES])
{
    char *head AUTO_FREE = dump(document_head(snap));
    char *routes AUTO_FREE = dump(document_routes(snap));
    unsigned int size = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    xp_check(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    xp_check(EVP_DigestUpdate(ctx, head, strlen(head)) == 1);
    for (size_t i = 0; i < parts->by_name_count; i++) {
        xp_check(EVP_DigestUpdate(ctx, parts->by_name[i]->digest, DIGEST_BYTES) == 1);
    }
    xp_check(EVP_DigestUpdate(ctx, routes, strlen(routes)) == 1 &&
             EVP_DigestFinal_ex(ctx, ret_digest, &size) == 1 && size == DIGEST_BYTES);
    EVP_MD_CTX_free(ctx);
}

/* The version is for people. The digest makes the tag true: after a restored backup, or with a newer program, the same
 * version can mean other bytes, and a metaserver that gets 304 would keep the old ones until the next change.
 * A DC name may hold bytes that a header may not. */
char *document_parts_etag(const struct document_parts *parts, const struct dc_snapshot *snap)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[2 * TAG_DIGEST_BYTES + 1];
    digest_all(parts, snap, digest);
    for (size_t i = 0; i < TAG_DIGEST_BYTES; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    char *safe AUTO_FREE = xstrdup(snap->dc);
    for (char *p = safe; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("_.-", *p)) {
            *p = '_';
        }
    }
    return xasprintf("\"%s-%lld-%s\"", safe, (long long)snap->dc_version, hex);
}
