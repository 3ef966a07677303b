/* text_out.c - see text_out.h. */
#include "tests/fakes/redis_module/text_out.h"

#include <stdarg.h>
#include <stdio.h>

#include "shared/base/banned.h"

void text_add(struct text_out *out, const char *format, ...)
{
    size_t room = sizeof out->text - out->len;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(out->text + out->len, room, format, args);
    va_end(args);
    out->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}
