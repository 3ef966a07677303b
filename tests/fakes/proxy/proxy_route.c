/* proxy_route.c - see proxy_route.h. */
#include "tests/fakes/proxy/proxy_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

static const char start[] = "+PROXY";

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *trim(char *text)
{
    size_t len;

    while (is_blank(*text)) {
        text++;
    }
    len = strlen(text);
    while (len > 0 && is_blank(text[len - 1])) {
        text[--len] = '\0';
    }
    return text;
}

/* Length of the keyword when 'option' has this one, else 0. */
static size_t keyword(const char *option, const char *word)
{
    size_t len = strlen(word);

    return strncasecmp(option, word, len) == 0 &&
                   (option[len] == '\0' || is_blank(option[len]) || option[len] == '#')
               ? len
               : 0;
}

static const char *content_of(const char *option)
{
    option += strcspn(option, " \t");
    while (is_blank(*option)) {
        option++;
    }
    return option;
}

bool proxy_endpoint_parse(const char *uri, size_t len, struct endpoint *ret)
{
    static const struct {
        const char *scheme;
        bool speaks_proxy;
    } schemes[] = {
        { "PROXYTCP://", true }, { "PROXYTLS://", true }, { "PROXY://", true }, { "TCP://", false }
    };
    struct endpoint e = { .port = 0 };
    const char *colon;
    char *end = NULL;
    size_t skip = 0;
    long port;

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0] && !skip; i++) {
        size_t n = strlen(schemes[i].scheme);
        if (len > n && strncasecmp(uri, schemes[i].scheme, n) == 0) {
            skip = n;
            e.speaks_proxy = schemes[i].speaks_proxy;
        }
    }
    colon = skip ? memchr(uri + skip, ':', len - skip) : NULL;
    if (!colon || (size_t)(colon - uri) - skip >= sizeof e.host || colon == uri + skip) {
        return false;
    }
    port = strtol(colon + 1, &end, 10);
    if (end != uri + len || port < 1 || port > 65535) {
        return false;
    }
    memcpy(e.host, uri + skip, (size_t)(colon - uri) - skip);
    e.port = (int)port;
    *ret = e;
    return true;
}

static bool parse_alternatives(const char *hop, size_t len, struct proxy_line *l)
{
    l->next_is_proxy = true;
    for (size_t at = 0; at <= len;) {
        size_t n = strcspn(hop + at, ", ;#\t");
        struct endpoint *e = &l->alternatives[l->alternative_count];
        n = at + n > len ? len - at : n;
        if (l->alternative_count == ALTERNATIVES_MAX || !proxy_endpoint_parse(hop + at, n, e)) {
            return false;
        }
        l->alternative_count++;
        l->next_is_proxy = l->next_is_proxy && e->speaks_proxy;
        at += n + 1;
    }
    return true;
}

static bool parse_route(const char *content, struct proxy_line *l)
{
    const char *last = strrchr(content, ' ');

    last = last ? last + 1 : content;
    (void)snprintf(l->final_uri, sizeof l->final_uri, "%.*s", (int)strcspn(last, "#"), last);
    l->has_route = true;
    return parse_alternatives(content, strcspn(content, " \t#"), l);
}

static bool ends_important(const char *option)
{
    size_t len = strlen(option);

    return len > 0 && option[len - 1] == '#';
}

static bool take_option(const char *option, struct proxy_line *l)
{
    const char *content = content_of(option);

    l->kind = LINE_CONNECT;
    if (keyword(option, "ROUTE")) {
        return parse_route(content, l);
    }
    if (keyword(option, "FORWARD_FOR")) {
        (void)snprintf(l->source, sizeof l->source, "%.*s", (int)strcspn(content, " "), content);
        return true;
    }
    if (keyword(option, "CONTENT")) {
        return false; /* the stand-in does not decompress */
    }
    if (strncmp(option, "PING", 4) == 0 || strncmp(option, "MONITOR", 7) == 0) {
        l->kind = option[0] == 'P' ? LINE_PING : LINE_MONITOR;
        l->content = content;
        return true;
    }
    return !ends_important(option);
}

bool proxy_line_parse(const char *text, size_t len, struct proxy_line *ret)
{
    size_t skip = sizeof start - 1;
    char *next;

    *ret = (struct proxy_line){ .content = "" };
    if (len <= skip || len > LINE_MAX_BYTES || memcmp(text, start, skip) != 0 ||
        !is_blank(text[skip])) {
        return false;
    }
    memcpy(ret->text, text + skip + 1, len - skip - 1);
    for (char *at = ret->text; at; at = next) {
        next = strchr(at, ';');
        if (next) {
            *next++ = '\0';
        }
        at = trim(at);
        if (*at == '\0' && !next && ret->option_count > 0) {
            break; /* behind the trailing ';' */
        }
        if (*at == '\0' || ret->option_count == OPTIONS_MAX || !take_option(at, ret)) {
            return false;
        }
        ret->options[ret->option_count++] = at;
    }
    return ret->kind == LINE_CONNECT || ret->option_count == 1;
}

static void add(char *out, size_t size, size_t *used, const char *text, int len)
{
    int n = snprintf(out + *used, size - *used, "%.*s", len, text);

    *used += n > 0 ? (size_t)n : 0;
    *used = *used < size ? *used : size - 1;
}

static void add_route(const char *option, char *out, size_t size, size_t *used)
{
    const char *rest = content_of(option);

    rest += strcspn(rest, " \t");
    while (is_blank(*rest)) {
        rest++;
    }
    add(out, size, used, "ROUTE ", 6);
    add(out, size, used, rest, (int)strcspn(rest, "#"));
    add(out, size, used, ";", 1);
}

size_t proxy_line_rewrite(const struct proxy_line *line, const char *peer, char *out, size_t size)
{
    size_t used = 0;

    add(out, size, &used, "+PROXY ", 7);
    for (int i = 0; i < line->option_count; i++) {
        const char *option = line->options[i];
        if (keyword(option, "ROUTE")) {
            add_route(option, out, size, &used);
            if (!line->source[0]) {
                add(out, size, &used, "FORWARD_FOR ", 12);
                add(out, size, &used, peer, (int)strlen(peer));
                add(out, size, &used, ";", 1);
            }
            continue;
        }
        add(out, size, &used, option, (int)strlen(option));
        if (keyword(option, "FORWARD_FOR")) {
            add(out, size, &used, " ", 1);
            add(out, size, &used, peer, (int)strlen(peer));
        }
        add(out, size, &used, ";", 1);
    }
    add(out, size, &used, "\r\n", 2);
    return used + 1 < size ? used : 0;
}
