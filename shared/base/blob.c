/* blob.c - see blob.h. */
#include "shared/base/blob.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct blob *blob_new(char *bytes, size_t len)
{
    struct blob *b = xcalloc(1, sizeof(*b));
    b->refs = 1;
    b->len = len;
    b->bytes = bytes;
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    (void)__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

bool blob_is_shared(const struct blob *b)
{
    return __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) > 1;
}

void blob_unref(struct blob *b)
{
    if (b && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free(b->bytes);
        free(b);
    }
}
