/* blob.h - immutable bytes with a counter: a published document that many readers share.
 *
 * Never modified after blob_new. The one exception to "no reference counts", with cluster_meta
 * (code style 2.5): a whole-DC document of several MB is served to many connections without
 * copying.
 * Thread: any (the counter is atomic). */
#ifndef SHARED_BASE_BLOB_H
#define SHARED_BASE_BLOB_H

#include <stdbool.h>
#include <stddef.h>

struct blob {
    int refs; /* atomic */
    size_t len;
    char *bytes; /* owned; NUL-terminated behind len, so that it may be printed */
};

struct blob *blob_new(char *bytes,
                      size_t len);         /* takes malloc'ed 'bytes'; returns owned (blob_unref) */
struct blob *blob_ref(struct blob *b);     /* returns b with one more owner */
void blob_unref(struct blob *b);           /* NULL is fine */
bool blob_is_shared(const struct blob *b); /* somebody beside the caller owns it too */

#endif
