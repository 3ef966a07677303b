/* mem.h - allocation that cannot fail, and clean-up that cannot be forgotten.
 *
 * Allocation aborts when memory is out: a half-handled shortage is worse than a restart, and every
 * buffer fed from outside has a limit long before that. Words used in all headers:
 *   borrows       the caller keeps the object
 *   takes         the callee frees it, also on failure
 *   returns owned the caller frees it, with the function named in the header
 * Thread: any. */
#ifndef SHARED_BASE_MEM_H
#define SHARED_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t count, size_t size);
char *xstrdup(const char *text);                 /* NULL gives NULL */
char *xstrndup(const char *text, size_t length); /* copies exactly 'length' bytes and adds a NUL */
void *xmemdup(const void *bytes, size_t length);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For daemons, before the first thread: memory of finished work goes back to the system. Otherwise glibc keeps what each
 * thread once needed, and no longer returns large blocks on their own once one was freed. */
void mem_return_early(void);

/* Runs 'fn(&variable)' when the variable leaves its scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
/* Hands an owned pointer over: gives its value and sets the variable to NULL. */
#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

static inline void free_ptr_(void *where)
{
    free(*(void **)where);
}
#define AUTO_FREE CLEANUP(free_ptr_)

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
