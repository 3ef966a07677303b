/* peerof.c - see peerof.h. Building, replies and comparison; the checks are in peerof_check.c. */
#include "shared/crdt/peerof.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

#define COMMAND_TEXT_MAX_BYTES 65536

static void add_word(struct peerof_words *words, char *owned)
{
    xp_check(words->count < PEEROF_WORDS_MAX);
    words->word[words->count++] = owned;
}

void peerof_build(const struct peerof_target *target, struct peerof_words *ret_words)
{
    struct peerof_words words = { 0 };
    add_word(&words, xstrdup("PEEROF"));
    add_word(&words, xasprintf("%d", target->gid));
    add_word(&words, xstrdup(target->addr.host));
    add_word(&words, xasprintf("%d", target->addr.port));
    if (target->route) {
        add_word(&words, xstrdup("proxy-type"));
        add_word(&words, xstrdup("XPIPE-PROXY"));
        add_word(&words, xstrdup("proxy-servers"));
        add_word(&words, route_servers_text(target->route));
        char *params = route_params_text(target->route);
        if (params) {
            add_word(&words, xstrdup("proxy-params"));
            add_word(&words, params);
        }
    }
    *ret_words = words;
}

void peerof_build_removal(int gid, struct peerof_words *ret_words)
{
    struct peerof_words words = { 0 };
    add_word(&words, xstrdup("PEEROF"));
    add_word(&words, xasprintf("%d", gid));
    add_word(&words, xstrdup("no"));
    add_word(&words, xstrdup("one"));
    *ret_words = words;
}

void peerof_words_done(struct peerof_words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        free(words->word[i]);
    }
    *words = (struct peerof_words){ 0 };
}

char *peerof_words_text(const struct peerof_words *words)
{
    struct str text = STR_INIT(COMMAND_TEXT_MAX_BYTES);
    for (size_t i = 0; i < words->count; i++) {
        bool is_params = i > 0 && text_eq(words->word[i - 1], "proxy-params");
        str_printf(&text, is_params ? "%s\"%s\"" : "%s%s", i > 0 ? " " : "", words->word[i]);
    }
    return str_take(&text);
}

enum peerof_reply peerof_reply_of(const struct rreply *reply)
{
    if (!reply || rreply_type(reply) != RREPLY_STATUS || !rreply_first_word_is(reply, "OK")) {
        return PEEROF_REFUSED;
    }
    const char *text = rreply_text(reply, NULL);
    if (text_has_prefix(text, "OK Already")) {
        return PEEROF_OK_ALREADY;
    }
    return text_has_prefix(text, "OK Clean") ? PEEROF_OK_LAZY : PEEROF_OK;
}

bool peerof_is_equal(const struct crdt_peer *actual, const struct peerof_target *wanted)
{
    if (actual->problem[0] || actual->gid != wanted->gid ||
        !addr_eq(&actual->addr, &wanted->addr)) {
        return false;
    }
    if (actual->proxy != CRDT_PROXIED || !wanted->route) {
        return actual->proxy == CRDT_DIRECT && !wanted->route;
    }
    const struct crdt_text *servers = &actual->proxy_servers;
    const struct crdt_text *params = &actual->proxy_params;
    if (route_is_text(wanted->route, servers->bytes, servers->length, params->bytes,
                      params->length)) {
        return true; /* nearly always */
    }
    struct route route;
    return crdt_peer_route(actual, &route, NULL) == 0 && route_eq(&route, wanted->route);
}

/* Redis compares the params as text, so the text that would be sent counts here. */
static bool params_are_same_text(const struct crdt_peer *actual, const struct route *wanted)
{
    AUTO_FREE char *params = route_params_text(wanted);
    const struct crdt_text *text = &actual->proxy_params;
    if (!params || !text->bytes) {
        return !params && !text->bytes;
    }
    return strlen(params) == text->length && memcmp(params, text->bytes, text->length) == 0;
}

bool peerof_keeps_link(const struct crdt_peer *actual, const struct peerof_target *wanted)
{
    if (!actual->is_up || actual->problem[0] || actual->gid != wanted->gid ||
        !addr_eq(&actual->addr, &wanted->addr)) {
        return false;
    }
    struct addr in_use = crdt_peer_proxy_in_use(actual);
    return actual->proxy == CRDT_PROXIED && wanted->route && !addr_is_none(&in_use) &&
           route_has_server(wanted->route, &in_use) && params_are_same_text(actual, wanted->route);
}
