/* peer_words.c - see peer_words.h. */
#include "tests/fakes/crdt_module/peer_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

static const char scheme[] = "PROXYTCP://";

static bool parse_server(const char *text, size_t len, struct proxy_server *ret)
{
    struct proxy_server s = { .has_scheme = false };
    size_t skip = sizeof scheme - 1;
    const char *colon;
    char *end = NULL;
    long port;
    size_t host_len;

    if (len > skip && memcmp(text, scheme, skip) == 0) {
        s.has_scheme = true;
        text += skip;
        len -= skip;
    }
    colon = memchr(text, ':', len);
    if (!colon || colon == text || memchr(text, ' ', len) || memchr(text, '[', len)) {
        return false;
    }
    host_len = (size_t)(colon - text);
    if (host_len >= sizeof s.host || colon + 1 == text + len) {
        return false;
    }
    port = strtol(colon + 1, &end, 10);
    if (end != text + len || port < 1 || port > 65535) {
        return false;
    }
    memcpy(s.host, text, host_len);
    s.host[host_len] = '\0';
    s.port = (int)port;
    *ret = s;
    return true;
}

bool words_parse_servers(const char *text, struct peer_words *ret)
{
    int count = 0;

    for (;;) {
        size_t len = strcspn(text, ",");
        if (count == PROXY_MAX || !parse_server(text, len, &ret->servers[count])) {
            return false;
        }
        count++;
        if (text[len] == '\0') {
            ret->server_count = count;
            return true;
        }
        text += len + 1;
    }
}

void words_server_text(const struct proxy_server *s, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s:%d", s->has_scheme ? scheme : "", s->host, s->port);
}

void words_servers_text(const struct peer_words *w, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < w->server_count && used + 1 < size; i++) {
        char one[HOST_MAX + 32];
        int n;
        words_server_text(&w->servers[i], one, sizeof one);
        n = snprintf(out + used, size - used, "%s%s", i ? "," : "", one);
        used += n > 0 ? (size_t)n : 0;
    }
}

static bool has_server(const struct peer_words *w, const struct proxy_server *s)
{
    for (int i = 0; i < w->server_count; i++) {
        if (w->servers[i].port == s->port && strcasecmp(w->servers[i].host, s->host) == 0) {
            return true;
        }
    }
    return false;
}

static bool same_params(const struct peer_words *a, const struct peer_words *b)
{
    return a->has_params == b->has_params && (!a->has_params || strcmp(a->params, b->params) == 0);
}

static bool lists_match(const struct peer_words *now, const struct peer_words *wanted)
{
    if (now->server_count != wanted->server_count) {
        return false;
    }
    for (int i = 0; i < wanted->server_count; i++) {
        if (!has_server(now, &wanted->servers[i])) {
            return false;
        }
    }
    return true;
}

enum words_rule words_decide(const struct peer_words *now, bool is_up, int in_use,
                             const struct peer_words *wanted)
{
    if (strcasecmp(now->host, wanted->host) != 0 || now->port != wanted->port ||
        now->proxied != wanted->proxied) {
        return WORDS_REPLACE;
    }
    if (now->proxied && is_up && same_params(now, wanted) && in_use < now->server_count &&
        has_server(wanted, &now->servers[in_use])) {
        return WORDS_KEEP_LINK;
    }
    if (now->backstream != wanted->backstream) {
        return WORDS_REPLACE;
    }
    if (now->proxied && (!lists_match(now, wanted) || !same_params(now, wanted))) {
        return WORDS_REPLACE;
    }
    return WORDS_NOTHING;
}

size_t words_route_line(const struct peer_words *w, char *out, size_t size)
{
    int n = snprintf(out, size, "+PROXY ROUTE %s%sTCP://%s:%d\r\n", w->has_params ? w->params : "",
                     w->has_params ? " " : "", w->host, w->port);

    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}
