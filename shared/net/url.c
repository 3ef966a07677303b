/* url.c - see url.h. */
#include "shared/net/url.h"

#include <string.h>

#include "shared/base/banned.h"

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

void url_add_encoded(struct str *url, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (is_unreserved(*p)) {
            str_putc(url, *p);
        } else {
            str_printf(url, "%%%02X", (unsigned char)*p);
        }
    }
}
