/* peer_words.h - the words of a PEEROF command: parsed, compared, written. Pure: no server, no
 * I/O. Contract: reference/crdt-redis.md 2.1 and 2.3. */
#ifndef TESTS_FAKES_CRDT_MODULE_PEER_WORDS_H
#define TESTS_FAKES_CRDT_MODULE_PEER_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROXY_MAX = 16, HOST_MAX = 256, PARAMS_MAX = 1024, NO_BACKSTREAM = -1 };

struct proxy_server {
    char host[HOST_MAX];
    int port;
    bool has_scheme; /* given as PROXYTCP://, shown likewise */
};

struct peer_words {
    char host[HOST_MAX];
    int port;
    int64_t backstream; /* clock, or NO_BACKSTREAM */
    bool proxied;
    int server_count;
    struct proxy_server servers[PROXY_MAX];
    bool has_params;
    char params[PARAMS_MAX];
};

enum words_rule {
    WORDS_KEEP_LINK = 1, /* rule 1: list replaced, link untouched */
    WORDS_NOTHING = 2,   /* rule 2: stored order and spelling stay */
    WORDS_REPLACE = 3,   /* rule 3: link cut, new values */
};

/* Parses a comma list of PROXYTCP://host:port or host:port. */
bool words_parse_servers(const char *text, struct peer_words *ret);
/* "PROXYTCP://h:p" or "h:p". */
void words_server_text(const struct proxy_server *s, char *out, size_t size);
void words_servers_text(const struct peer_words *w, char *out, size_t size);
/* What to do when 'now' is stored (its link up or not, using server number 'in_use') and
 * 'wanted' comes. */
enum words_rule words_decide(const struct peer_words *now, bool is_up, int in_use,
                             const struct peer_words *wanted);
/* The line sent to a proxy, with CR LF. Returns its length, 0 if it did not fit. */
size_t words_route_line(const struct peer_words *w, char *out, size_t size);

#endif
