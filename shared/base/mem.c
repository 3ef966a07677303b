/* mem.c - see mem.h. */
#include "shared/base/mem.h"
#include "shared/base/err.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/banned.h"

static void *or_abort(void *p)
{
    if (!p) {
        (void)fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return or_abort(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return or_abort(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *old, size_t count, size_t size)
{
    return or_abort(reallocarray(old, count ? count : 1, size ? size : 1));
}

void *xmemdup(const void *bytes, size_t length)
{
    void *copy = xmalloc(length);
    if (length > 0) {
        memcpy(copy, bytes, length);
    }
    return copy;
}

char *xstrndup(const char *text, size_t length)
{
    char *copy = xmalloc(length + 1);
    if (length > 0) {
        memcpy(copy, text, length);
    }
    copy[length] = '\0';
    return copy;
}

char *xstrdup(const char *text)
{
    return text ? xstrndup(text, strlen(text)) : NULL;
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    xp_check(length >= 0);
    return text;
}

/* The results are of no interest: without these settings (the sanitizers' own allocator has none) only memory is lost. */
void mem_return_early(void)
{
    enum { ARENAS = 2, LARGE_BYTES = 256 * 1024, TRIM_BYTES = 1024 * 1024 };
    (void)mallopt(M_ARENA_MAX, ARENAS);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
}
