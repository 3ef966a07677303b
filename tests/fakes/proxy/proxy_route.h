/* proxy_route.h - the +PROXY line: parsed and rewritten for the next hop. Pure: no I/O.
 * Contract: reference/proxy-and-keeper.md 1.1 to 1.4. Not supported: CONTENT (compression); such
 * a line is refused. */
#ifndef TESTS_FAKES_PROXY_PROXY_ROUTE_H
#define TESTS_FAKES_PROXY_PROXY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

enum { LINE_MAX_BYTES = 1024, OPTIONS_MAX = 16, ALTERNATIVES_MAX = 16, HOST_MAX_BYTES = 256 };

enum line_kind { LINE_CONNECT, LINE_PING, LINE_MONITOR };

struct endpoint {
    char host[HOST_MAX_BYTES];
    int port;
    bool speaks_proxy; /* PROXYTCP, PROXYTLS, PROXY: gets a line */
};

struct proxy_line {
    enum line_kind kind;
    char text[LINE_MAX_BYTES + 1]; /* the options point into it */
    int option_count;
    const char *options[OPTIONS_MAX]; /* "KEYWORD content", trimmed */
    const char *content;              /* of PING and MONITOR, may be empty */
    bool has_route;
    int alternative_count;
    struct endpoint alternatives[ALTERNATIVES_MAX];
    bool next_is_proxy; /* every alternative is one */
    char final_uri[HOST_MAX_BYTES + 32];
    char source[HOST_MAX_BYTES]; /* first FORWARD_FOR entry, empty if none */
};

/* 'text' without CR LF. False: the real proxy would close the connection. */
bool proxy_line_parse(const char *text, size_t len, struct proxy_line *ret);
/* The line for the next proxy, with "; CR LF"; 'peer' is "ip:port" of the frontend. Returns its
 * length, 0 if too long. */
size_t proxy_line_rewrite(const struct proxy_line *line, const char *peer, char *out, size_t size);
bool proxy_endpoint_parse(const char *uri, size_t len, struct endpoint *ret);

#endif
