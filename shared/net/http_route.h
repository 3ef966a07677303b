/* http_route.h - from a raw target to a route: decoding, matching, printing. Private to
 * shared/net/http_*.c and tests.
 *
 * Pure: no sockets, no clock, no globals; a table is immutable after http_table_new and may be read
 * by any thread. Not the wire form of an answer (http_answer.c). A path is split at '/' before each
 * segment is decoded, so that %2f stays inside a name. One trailing slash is ignored. A segment
 * that decodes to a NUL or to invalid UTF-8 matches no literal and is an XP_INVALID for a
 * parameter. */
#ifndef SHARED_NET_HTTP_ROUTE_H
#define SHARED_NET_HTTP_ROUTE_H

#include "shared/net/http_server.h"

#define HTTP_SEGMENTS_MAX 16
#define HTTP_QUERY_MAX    64 /* name=value pairs of one request */

struct http_path {
    char *text; /* owned: the decoded segments, each NUL-terminated */
    size_t count;
    const char *segment[HTTP_SEGMENTS_MAX]; /* "" when it could not be decoded */
    const char *wrong[HTTP_SEGMENTS_MAX]; /* static text: why it could not be decoded; else NULL */
};

enum { HTTP_PATH_UNKNOWN = 1 }; /* no route can have such a path: too deep, not absolute */

/* 'raw' is what stands before '?'. Returns 0 or HTTP_PATH_UNKNOWN. Free with http_path_done. */
int http_path_parse(const char *raw, size_t length, struct http_path *ret_path);
void http_path_done(struct http_path *);

struct http_query {
    char *text; /* owned */
    size_t count;
    const char *name[HTTP_QUERY_MAX];
    const char *value[HTTP_QUERY_MAX];
};

/* 'raw' is what stands behind '?'. XP_INVALID names the parameter. Free with http_query_done. */
int http_query_parse(const char *raw, size_t length, struct http_query *ret_query,
                     struct xp_err *) XP_MUST_CHECK;
void http_query_done(struct http_query *);

struct http_table;
struct http_pattern; /* one route of the table, split into segments */

/* XP_INVALID for a table with a malformed path, a missing handler or two routes for the same
 * requests. */
int http_table_new(const struct http_route *const *tables, struct http_table **ret_table,
                   struct xp_err *) XP_MUST_CHECK;
void http_table_free(struct http_table *);

enum { HTTP_NO_PATH = 1, HTTP_NO_METHOD = 2 };

/* 0, HTTP_NO_PATH or HTTP_NO_METHOD. HEAD is served by GET routes; literals win over parameters. */
int http_table_match(const struct http_table *, const char *method, const struct http_path *,
                     const struct http_pattern **ret_pattern);
/* Appends the methods that the path answers to, as in an Allow header. */
void http_table_allow(const struct http_table *, const struct http_path *, struct str *out);

const struct http_route *http_pattern_route(const struct http_pattern *);
/* XP_INVALID when a parameter's segment could not be decoded; the text names it. */
int http_pattern_check(const struct http_pattern *, const struct http_path *,
                       struct xp_err *) XP_MUST_CHECK;
/* Borrowed from the path; NULL when the pattern has no parameter of that name. */
const char *http_pattern_param(const struct http_pattern *, const struct http_path *,
                               const char *name);

/* Writes at most size - 1 bytes of 'text', with '?' for what is not printable ASCII: for error
 * texts. */
void http_printable(const char *text, size_t length, char *out, size_t size);

#endif
