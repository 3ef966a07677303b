/* text_out.h - a text that grows up to a limit; used to build INFO-like answers. */
#ifndef TESTS_FAKES_REDIS_MODULE_TEXT_OUT_H
#define TESTS_FAKES_REDIS_MODULE_TEXT_OUT_H

#include <stddef.h>

struct text_out {
    size_t len;
    char text[64 * 1024];
};

void text_add(struct text_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
