/* module_util.h - the few helpers that both modules for redis-server need: clocks, texts, arguments.
 *
 * A module is built alone, without libxp. Thread: any, but arguments only where the server gave them. */
#ifndef TESTS_FAKES_REDIS_MODULE_MODULE_UTIL_H
#define TESTS_FAKES_REDIS_MODULE_MODULE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/fakes/redis_module/redis_api.h"

int64_t now_mono_ms(void);
int64_t now_wall_s(void);
int64_t now_wall_us(void);

/* Copies at most size-1 bytes; false when the text did not fit (the copy is then cut). */
bool text_copy(char *to, size_t size, const char *from, size_t len);
/* The text of an argument; ends with NUL as Redis strings do. */
const char *arg_text(const struct rm_string *arg);
bool arg_is(const struct rm_string *arg, const char *word); /* without regard to case */

#endif
