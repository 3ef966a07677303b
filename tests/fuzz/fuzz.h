/* fuzz.h - what fuzz targets share: the entry point, and reading an input line by line. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shared/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct fuzz_input { /* start with { bytes, bytes + size } */
    const char *at;
    const char *end;
};

/* The text up to the next '\n' (or the end), which is passed over. Returns owned; NULL when nothing is left. */
__attribute__((unused)) static char *fuzz_line(struct fuzz_input *in)
{
    if (in->at >= in->end) {
        return NULL;
    }
    const char *start = in->at;
    const char *stop = memchr(start, '\n', (size_t)(in->end - start));
    in->at = stop ? stop + 1 : in->end;
    return xstrndup(start, (size_t)((stop ? stop : in->end) - start));
}

/* All that is left, exactly as long as it says. Returns owned; never NULL. */
__attribute__((unused)) static char *fuzz_rest(struct fuzz_input *in, size_t *ret_length)
{
    *ret_length = (size_t)(in->end - in->at);
    char *rest = xmemdup(in->at, *ret_length);
    in->at = in->end;
    return rest;
}

#endif
