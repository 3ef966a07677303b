/* route.h - proxy routes: parsing, validation, comparison, choice (metaserver.md 8, proxy-and-keeper.md 3).
 *
 * A route is 1..3 hops, the near one first; a hop is a set of alternatives. Nothing here goes direct by itself: a route that
 * is unusable says so, and its user leaves things as they are (D9). Pure functions. Thread: any. */
#ifndef SHARED_PROXY_ROUTE_H
#define SHARED_PROXY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"
#include "shared/base/err.h"
#include "shared/model/dc_meta.h"

#define ROUTE_HOPS_MAX    3
#define ROUTE_MEMBERS_MAX 16
/* of the whole +PROXY line, growth on the way included (proxy-and-keeper.md 1.10 P3) */
#define ROUTE_LINE_MAX_BYTES 1024

enum proxy_scheme { PROXY_TCP /* PROXYTCP, or bare host:port in a first hop */, PROXY_TLS };

struct route_member {
    enum proxy_scheme scheme;
    struct addr addr;
};
struct route_hop {
    struct route_member members[ROUTE_MEMBERS_MAX];
    size_t count;
};
struct route {
    struct route_hop hops[ROUTE_HOPS_MAX];
    size_t hop_count;
};

/* Parses a routeInfo text. Refuses (naming hop and member): empty text, double blanks, unknown or lower-case schemes,
 * duplicates in a hop, quotes, '|', backslash, ';', '#', control characters, over the limits above. */
int route_parse(const char *text, size_t length, struct route *ret_route,
                struct xp_err *err) XP_MUST_CHECK;
/* The same from the two texts that CRDT Redis keeps: first hop, and the other hops (NULL: there are none). */
int route_parse_parts(const char *servers, size_t servers_length, const char *params,
                      size_t params_length, struct route *ret_route,
                      struct xp_err *err) XP_MUST_CHECK;
/* One "PROXYTCP://host:port", "PROXYTLS://host:port" or bare "host:port". */
int route_member_parse(const char *text, size_t length, struct route_member *ret_member,
                       struct xp_err *err) XP_MUST_CHECK;
/* Usable for CRDT Redis: every member of the first hop is PROXYTCP (or bare). */
int route_check_crdt(const struct route *, struct xp_err *err) XP_MUST_CHECK;
/* Canonical texts: scheme upper case, members in route order joined by ',', hops by one blank. Returned owned (free). */
char *route_text(const struct route *);
char *route_servers_text(const struct route *); /* first hop: proxy-servers */
/* the other hops: proxy-params; NULL when there is only one hop */
char *route_params_text(const struct route *);
/* Hop by hop as sets of (scheme, host, port). */
bool route_eq(const struct route *a, const struct route *b);
/* True when the two texts are exactly the canonical ones (params NULL: one hop). Reads no text twice and allocates nothing:
 * the quick way to see that nothing changed. False says nothing about the sets. */
bool route_is_text(const struct route *, const char *servers, size_t servers_length,
                   const char *params, size_t params_length);
/* True when a member of the first hop has this address. */
bool route_has_server(const struct route *, const struct addr *addr);
/* Length of "+PROXY ROUTE <params> TCP://host:port\r\n" with the growth that the proxies add. */
size_t route_line_bytes(const struct route *, const struct addr *target);

/* |(int32) CRC32 of the name| mod count (64-bit abs); count > 0. */
size_t route_index(const char *cluster_name, size_t count);

enum route_choice_kind {
    ROUTE_DIRECT, /* no route applies: connect directly */
    ROUTE_CHOSEN,
    ROUTE_UNUSABLE, /* routes apply, none is usable: do nothing */
};
struct route_choice {
    enum route_choice_kind kind;
    int64_t route_id; /* of the route chosen; the first choice when unusable; 0 when direct */
    /* the first choice was unusable, this is the next one in cyclic order: alert */
    bool is_fallback;
    struct route route; /* when chosen */
    char reason[160];   /* why, in words, for people */
};
struct route_query {
    const char *cluster_name;
    enum cluster_type type;
    int64_t org_id;
    const int64_t *designated_ids;
    size_t designated_count;
    const char *src_dc; /* lower case */
    const char *dst_dc;
    const char *tag; /* "meta" */
};
/* The rules of metaserver.md 8.2, in order. For CLUSTER_BI_DIRECTION usability includes route_check_crdt. */
void route_choose(const struct route_query *, const struct route_meta *routes, size_t count,
                  struct route_choice *ret_choice);

#endif
