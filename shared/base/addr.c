/* addr.c - see addr.h. */
#include "shared/base/addr.h"
#include "shared/base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

struct addr addr_of(const char *host, int port)
{
    struct addr a = { .port = port };
    size_t length = host ? strlen(host) : 0;
    if (length == 0 || length > ADDR_HOST_MAX || port < 1 || port > 65535) {
        return (struct addr){ 0 };
    }
    memcpy(a.host, host, length);
    return a;
}

bool addr_is_none(const struct addr *a)
{
    return a->host[0] == '\0';
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
    int order = strcasecmp(a->host, b->host);
    if (order != 0) {
        return order < 0 ? -1 : 1;
    }
    return a->port < b->port ? -1 : a->port > b->port;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_cmp(a, b) == 0;
}

static bool is_v6(const char *host)
{
    unsigned char raw[sizeof(struct in6_addr)];
    return inet_pton(AF_INET6, host, raw) == 1;
}

bool addr_is_numeric(const struct addr *a)
{
    unsigned char raw[sizeof(struct in_addr)];
    return inet_pton(AF_INET, a->host, raw) == 1 || is_v6(a->host);
}

static bool v4_is_nobodys(uint32_t network_order)
{
    uint32_t first = ntohl(network_order) >> 24;
    return first == 0 || first >= 224;
}

bool addr_is_nobodys(const struct addr *a)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, a->host, &v4) == 1) {
        return v4_is_nobodys(v4.s_addr);
    }
    if (inet_pton(AF_INET6, a->host, &v6) != 1) {
        return false;
    }
    uint32_t mapped;
    memcpy(&mapped, &v6.s6_addr[12], sizeof(mapped));
    return IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_MULTICAST(&v6) ||
           (IN6_IS_ADDR_V4MAPPED(&v6) && v4_is_nobodys(mapped));
}

/* Bytes that may stand in a host: visible ASCII without the characters that end one elsewhere. */
static bool host_is_plain(const char *host, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (host[i] <= ' ' || host[i] > '~' || strchr("[]/@\"'\\", host[i])) {
            return false;
        }
    }
    return true;
}

/* Host part of an address text: where it starts, how long it is, and where the port starts. */
struct halves {
    const char *host;
    size_t host_length;
    const char *port;
    size_t port_length;
    bool bracketed;
};

static bool split(const char *text, size_t length, struct halves *ret_halves)
{
    struct halves h = { .bracketed = length > 0 && text[0] == '[' };
    const char *colon = memrchr(text, ':', length);
    if (!colon) {
        return false;
    }
    h.host = text + (h.bracketed ? 1 : 0);
    const char *host_end = colon;
    if (h.bracketed) {
        if (colon - text < 2 || colon[-1] != ']') {
            return false;
        }
        host_end = colon - 1;
    }
    h.host_length = (size_t)(host_end - h.host);
    h.port = colon + 1;
    h.port_length = length - (size_t)(h.port - text);
    *ret_halves = h;
    return true;
}

int addr_parse(const char *text, size_t length, struct addr *ret_addr, struct xp_err *err)
{
    int shown = length > 100 ? 100 : (int)length;
    struct halves h;
    if (length == 0 || !split(text, length, &h)) {
        return xp_fail(err, XP_INVALID, "address '%.*s' is not host:port or [v6]:port", shown,
                       text);
    }
    if (h.host_length == 0 || h.host_length > ADDR_HOST_MAX) {
        return xp_fail(err, XP_INVALID, "address '%.*s': the host must have 1 to %d bytes", shown,
                       text, ADDR_HOST_MAX);
    }
    struct addr a = { 0 };
    memcpy(a.host, h.host, h.host_length);
    if (!host_is_plain(h.host, h.host_length) || (h.bracketed && !is_v6(a.host))) {
        return xp_fail(err, XP_INVALID, "address '%.*s': the host is malformed", shown, text);
    }
    if (!h.bracketed && strchr(a.host, ':')) {
        return xp_fail(err, XP_INVALID, "address '%.*s': write an IPv6 host as [host]:port", shown,
                       text);
    }
    int64_t port = 0;
    if (!text_to_i64(h.port, h.port_length, 1, 65535, &port)) {
        return xp_fail(err, XP_INVALID, "address '%.*s': the port must be 1 to 65535", shown, text);
    }
    a.port = (int)port;
    *ret_addr = a;
    return 0;
}

const char *addr_text(const struct addr *a, char *buf)
{
    bool v6 = strchr(a->host, ':') != NULL;
    (void)snprintf(buf, ADDR_TEXT_MAX, "%s%s%s:%d", v6 ? "[" : "", a->host, v6 ? "]" : "", a->port);
    return buf;
}
