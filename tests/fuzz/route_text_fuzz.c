/* route_text_fuzz.c - route texts: what is accepted must survive being written and read again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/proxy/route.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct route route;
    struct route again;
    struct xp_err err;
    if (route_parse((const char *)bytes, size, &route, &err)) {
        return 0;
    }
    char *text = route_text(&route);
    if (route_parse(text, strlen(text), &again, &err) || !route_eq(&route, &again) ||
        strpbrk(text, "\x27\"|\\;#\r\n")) {
        abort();
    }
    free(text);
    return 0;
}
