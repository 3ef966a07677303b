/* url.h - building URLs. Thread: any. */
#ifndef SHARED_NET_URL_H
#define SHARED_NET_URL_H

#include "shared/base/str.h"

/* Appends 'text' as one path segment or query value: everything but RFC 3986's unreserved characters as %XX. */
void url_add_encoded(struct str *url, const char *text);

#endif
