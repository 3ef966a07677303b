/* addr.h - host and port of an instance, as plain value.
 *
 * Host is text as given (an IP literal or a name); equality ignores ASCII case, as CRDT Redis does.
 * Texts: "host:port"; IPv6 literals are written "[::1]:6379". A struct addr of zeros is "none". */
#ifndef SHARED_BASE_ADDR_H
#define SHARED_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

#define ADDR_HOST_MAX 63
#define ADDR_TEXT_MAX 80 /* "[host]:65535" and the NUL */

struct addr {
    char host[ADDR_HOST_MAX + 1];
    int port; /* 1..65535; 0 in "none" */
};

struct addr addr_of(const char *host,
                    int port); /* cuts nothing: a host that is too long gives "none" */
bool addr_is_none(const struct addr *);
bool addr_eq(const struct addr *a, const struct addr *b);
int addr_cmp(const struct addr *a, const struct addr *b); /* for sorting: host, then port */
bool addr_is_numeric(const struct addr *);                /* IPv4 or IPv6 literal */
/* 0.0.0.0 and ::, which mean whatever listens on one's own machine; multicast and broadcast: no instance can have it. */
bool addr_is_nobodys(const struct addr *);
/* Parses 'length' bytes of "host:port" or "[v6]:port". Refuses blanks, control characters, an empty
 * host, a bad port. */
int addr_parse(const char *text, size_t length, struct addr *ret_addr,
               struct xp_err *err) XP_MUST_CHECK;
/* Writes "host:port" into buf (ADDR_TEXT_MAX bytes) and returns buf. */
const char *addr_text(const struct addr *, char *buf);
#define ADDR_TEXT(a) addr_text((a), (char[ADDR_TEXT_MAX]){ 0 })

#endif
