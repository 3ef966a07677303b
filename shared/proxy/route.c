/* route.c - see route.h. Texts of routes: parsing, checking, writing, comparing. The choice is in route_choice.c. */
#include "shared/proxy/route.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/banned.h"

/* proxy-and-keeper.md 1.10 P3: what proxies on the way add to the line. */
#define GROWTH_PER_HOP_BYTES     22 /* " ip:port" in FORWARD_FOR */
#define GROWTH_FORWARD_FOR_BYTES 12 /* ";FORWARD_FOR" */
#define GROWTH_CONTENT_BYTES     28 /* ";CONTENT COMPRESS ZSTD 1.0#;" */
#define ROUTE_TEXT_MAX_BYTES     (ROUTE_HOPS_MAX * ROUTE_MEMBERS_MAX * (ADDR_TEXT_MAX + 12))

static const char tcp_prefix[] = "PROXYTCP://";
static const char tls_prefix[] = "PROXYTLS://";

/* Names and IPv4 literals only: the proxies split at ':', and everything else breaks a line or a config file somewhere. */
static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static int check_host(const char *host, struct xp_err *err)
{
    for (const char *p = host; *p; p++) {
        if (!is_host_char(*p)) {
            return xp_fail(err, XP_INVALID,
                           "the host has a character other than letters, digits, '.', '-' and '_'");
        }
    }
    return host[0] ? XP_OK : xp_fail(err, XP_INVALID, "the host is empty");
}

/* Splits "SCHEME://rest"; a text without "://" is a bare host:port. */
static int split_scheme(const char *text, size_t length, enum proxy_scheme *ret_scheme,
                        size_t *ret_skip, struct xp_err *err)
{
    size_t prefix = sizeof(tcp_prefix) - 1;
    bool has_scheme = memmem(text, length, "://", 3) != NULL;
    if (has_scheme && length >= prefix && memcmp(text, tcp_prefix, prefix) == 0) {
        *ret_scheme = PROXY_TCP;
    } else if (has_scheme && length >= prefix && memcmp(text, tls_prefix, prefix) == 0) {
        *ret_scheme = PROXY_TLS;
    } else if (has_scheme) {
        return xp_fail(err, XP_INVALID, "the scheme must be PROXYTCP or PROXYTLS, in upper case");
    } else {
        *ret_scheme = PROXY_TCP;
        prefix = 0;
    }
    *ret_skip = prefix;
    return XP_OK;
}

int route_member_parse(const char *text, size_t length, struct route_member *ret_member,
                       struct xp_err *err)
{
    struct route_member member;
    size_t skip = 0;
    if (length == 0) {
        return xp_fail(err, XP_INVALID, "it is empty");
    }
    int rc = split_scheme(text, length, &member.scheme, &skip, err);
    if (rc == 0) {
        rc = addr_parse(text + skip, length - skip, &member.addr, err);
    }
    if (rc == 0) {
        rc = check_host(member.addr.host, err);
    }
    if (rc == 0) {
        *ret_member = member;
    }
    return rc ? XP_INVALID : XP_OK;
}

static bool member_eq(const struct route_member *a, const struct route_member *b)
{
    return a->scheme == b->scheme && addr_eq(&a->addr, &b->addr);
}

static bool hop_has(const struct route_hop *hop, const struct route_member *member)
{
    for (size_t i = 0; i < hop->count; i++) {
        if (member_eq(&hop->members[i], member)) {
            return true;
        }
    }
    return false;
}

/* Where the parser is, for its messages. */
struct place {
    size_t hop;
    size_t member;
    struct xp_err *err;
};

static int add_member(struct route_hop *hop, const char *text, size_t length,
                      const struct place *at)
{
    struct route_member member;
    if (hop->count == ROUTE_MEMBERS_MAX) {
        return xp_fail(at->err, XP_INVALID, "hop %zu: more than %d members", at->hop,
                       ROUTE_MEMBERS_MAX);
    }
    if (route_member_parse(text, length, &member, at->err)) {
        xp_wrap(at->err, "hop %zu, member %zu", at->hop, at->member);
        return XP_INVALID;
    }
    bool is_bare = !memmem(text, length, "://", 3);
    if (is_bare && at->hop > 1) {
        return xp_fail(at->err, XP_INVALID,
                       "hop %zu, member %zu: a scheme is needed behind the first hop", at->hop,
                       at->member);
    }
    if (hop_has(hop, &member)) {
        return xp_fail(at->err, XP_INVALID, "hop %zu, member %zu: %s appears twice", at->hop,
                       at->member, ADDR_TEXT(&member.addr));
    }
    hop->members[hop->count++] = member;
    return XP_OK;
}

static int parse_hop(const char *text, size_t length, size_t number, struct route_hop *hop,
                     struct xp_err *err)
{
    const char *end = text + length;
    struct place at = { .hop = number, .member = 1, .err = err };
    hop->count = 0;
    if (length == 0) {
        return xp_fail(err, XP_INVALID,
                       "hop %zu: it is empty (one blank between hops, none around them)", number);
    }
    for (;; at.member++) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;
        int rc = add_member(hop, text, (size_t)(stop - text), &at);
        if (rc || !comma) {
            return rc;
        }
        text = comma + 1;
    }
}

/* Appends the hops of 'text', split at single blanks. */
static int add_hops(struct route *route, const char *text, size_t length, struct xp_err *err)
{
    const char *end = text + length;
    for (;;) {
        const char *blank = memchr(text, ' ', (size_t)(end - text));
        const char *stop = blank ? blank : end;
        if (route->hop_count == ROUTE_HOPS_MAX) {
            return xp_fail(err, XP_INVALID, "hop %d: more than %d hops", ROUTE_HOPS_MAX + 1,
                           ROUTE_HOPS_MAX);
        }
        int rc = parse_hop(text, (size_t)(stop - text), route->hop_count + 1,
                           &route->hops[route->hop_count], err);
        if (rc) {
            return rc;
        }
        route->hop_count++;
        if (!blank) {
            return XP_OK;
        }
        text = blank + 1;
    }
}

/* Copies what is used: a struct route is 3.5 KiB, and most of it is empty. */
static void copy_route(const struct route *from, struct route *to)
{
    to->hop_count = from->hop_count;
    for (size_t i = 0; i < ROUTE_HOPS_MAX; i++) {
        to->hops[i].count = i < from->hop_count ? from->hops[i].count : 0;
        memcpy(to->hops[i].members, from->hops[i].members,
               to->hops[i].count * sizeof(struct route_member));
    }
}

static int check_line(const struct route *route, struct xp_err *err)
{
    struct addr longest_ipv4 = addr_of("255.255.255.255", 65535);
    size_t bytes = route_line_bytes(route, &longest_ipv4);
    if (bytes > ROUTE_LINE_MAX_BYTES) {
        return xp_fail(err, XP_INVALID,
                       "its line would grow to %zu bytes, proxies take %d: use fewer members",
                       bytes, ROUTE_LINE_MAX_BYTES);
    }
    return XP_OK;
}

int route_parse_parts(const char *servers, size_t servers_length, const char *params,
                      size_t params_length, struct route *ret_route, struct xp_err *err)
{
    struct route route;
    route.hop_count = 0;
    if (!servers || servers_length == 0) {
        return xp_fail(err, XP_INVALID, "hop 1: the route is empty");
    }
    int rc = add_hops(&route, servers, servers_length, err);
    if (rc == 0 && params) {
        rc = add_hops(&route, params, params_length, err);
    }
    if (rc == 0) {
        rc = check_line(&route, err);
    }
    if (rc == 0) {
        copy_route(&route, ret_route);
    }
    return rc;
}

int route_parse(const char *text, size_t length, struct route *ret_route, struct xp_err *err)
{
    return route_parse_parts(text, length, NULL, 0, ret_route, err);
}

int route_check_crdt(const struct route *route, struct xp_err *err)
{
    if (route->hop_count == 0) {
        return xp_fail(err, XP_INVALID, "hop 1: the route is empty");
    }
    const struct route_hop *hop = &route->hops[0];
    for (size_t i = 0; i < hop->count; i++) {
        if (hop->members[i].scheme != PROXY_TCP) {
            return xp_fail(err, XP_INVALID,
                           "hop 1, member %zu: %s must be PROXYTCP, Redis speaks no TLS", i + 1,
                           ADDR_TEXT(&hop->members[i].addr));
        }
    }
    return XP_OK;
}

static void put_hop(struct str *text, const struct route_hop *hop)
{
    for (size_t i = 0; i < hop->count; i++) {
        const struct route_member *member = &hop->members[i];
        str_puts(text, i > 0 ? "," : "");
        str_puts(text, member->scheme == PROXY_TLS ? tls_prefix : tcp_prefix);
        str_puts(text, ADDR_TEXT(&member->addr));
    }
}

static char *hops_text(const struct route *route, size_t from, size_t to)
{
    struct str text = STR_INIT(ROUTE_TEXT_MAX_BYTES);
    for (size_t i = from; i < to; i++) {
        str_puts(&text, i > from ? " " : "");
        put_hop(&text, &route->hops[i]);
    }
    return str_take(&text);
}

char *route_text(const struct route *route)
{
    return hops_text(route, 0, route->hop_count);
}

char *route_servers_text(const struct route *route)
{
    return hops_text(route, 0, route->hop_count > 0 ? 1 : 0);
}

char *route_params_text(const struct route *route)
{
    return route->hop_count > 1 ? hops_text(route, 1, route->hop_count) : NULL;
}

static bool hop_eq(const struct route_hop *a, const struct route_hop *b)
{
    if (a->count != b->count) { /* members are unique within a hop */
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!hop_has(b, &a->members[i])) {
            return false;
        }
    }
    return true;
}

bool route_eq(const struct route *a, const struct route *b)
{
    if (a->hop_count != b->hop_count) {
        return false;
    }
    for (size_t i = 0; i < a->hop_count; i++) {
        if (!hop_eq(&a->hops[i], &b->hops[i])) {
            return false;
        }
    }
    return true;
}

/* Moves *at behind 'word' when it stands there. */
static bool eat(const char **at, const char *end, const char *word, size_t length)
{
    bool is_there = (size_t)(end - *at) >= length && memcmp(*at, word, length) == 0;
    *at += is_there ? length : 0;
    return is_there;
}

static bool eat_port(const char **at, const char *end, int port)
{
    int value = 0;
    const char *from = *at;
    for (; *at < end && **at >= '0' && **at <= '9' && *at - from < 5; (*at)++) {
        value = value * 10 + (**at - '0');
    }
    return *at > from && *from != '0' && value == port;
}

static bool eat_hop(const char **at, const char *end, const struct route_hop *hop)
{
    for (size_t i = 0; i < hop->count; i++) {
        const struct route_member *member = &hop->members[i];
        const char *prefix = member->scheme == PROXY_TLS ? tls_prefix : tcp_prefix;
        if ((i > 0 && !eat(at, end, ",", 1)) || !eat(at, end, prefix, sizeof(tcp_prefix) - 1) ||
            !eat(at, end, member->addr.host, strlen(member->addr.host)) || !eat(at, end, ":", 1) ||
            !eat_port(at, end, member->addr.port)) {
            return false;
        }
    }
    return true;
}

bool route_is_text(const struct route *route, const char *servers, size_t servers_length,
                   const char *params, size_t params_length)
{
    if (route->hop_count == 0 || !servers) {
        return false;
    }
    const char *at = servers;
    const char *end = servers + servers_length;
    if (!eat_hop(&at, end, &route->hops[0]) || at != end) {
        return false;
    }
    if (route->hop_count == 1 || !params) {
        return route->hop_count == 1 && !params;
    }
    at = params;
    end = params + params_length;
    for (size_t i = 1; i < route->hop_count; i++) {
        if ((i > 1 && !eat(&at, end, " ", 1)) || !eat_hop(&at, end, &route->hops[i])) {
            return false;
        }
    }
    return at == end;
}

bool route_has_server(const struct route *route, const struct addr *addr)
{
    for (size_t i = 0; route->hop_count > 0 && i < route->hops[0].count; i++) {
        if (addr_eq(&route->hops[0].members[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

static size_t hop_bytes(const struct route_hop *hop)
{
    size_t bytes = hop->count > 0 ? hop->count - 1 : 0; /* commas */
    for (size_t i = 0; i < hop->count; i++) {
        bytes += sizeof(tcp_prefix) - 1 + strlen(ADDR_TEXT(&hop->members[i].addr));
    }
    return bytes;
}

size_t route_line_bytes(const struct route *route, const struct addr *target)
{
    size_t bytes = strlen("+PROXY ROUTE TCP://\r\n") + strlen(ADDR_TEXT(target));
    for (size_t i = 1; i < route->hop_count; i++) { /* the sender itself goes to the first hop */
        bytes += hop_bytes(&route->hops[i]) + 1;
    }
    return bytes + route->hop_count * GROWTH_PER_HOP_BYTES + GROWTH_FORWARD_FOR_BYTES +
           GROWTH_CONTENT_BYTES;
}
