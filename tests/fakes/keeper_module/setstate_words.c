/* setstate_words.c - see setstate_words.h. */
#include "tests/fakes/keeper_module/setstate_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

enum { WORD_STATE, WORD_HOST, WORD_PORT, WORD_PROXY, WORD_ROUTE, WORD_HOPS };

static bool add_word(char *out, const char *word)
{
    size_t used = strlen(out);
    int n = snprintf(out + used, ROUTE_MAX - used, "%s%s", used > 0 ? " " : "", word);

    return n >= 0 && (size_t)n < ROUTE_MAX - used;
}

/* "PROXY ROUTE hop... SCHEME": SCHEME becomes the final station. */
static bool parse_route(const char *const *argv, int argc, struct target *t)
{
    char final[HOST_MAX + 32];

    t->route[0] = '\0';
    if (argc <= WORD_PROXY || strcasecmp(argv[WORD_PROXY], "proxy") != 0) {
        return true;
    }
    if (argc <= WORD_HOPS || strcasecmp(argv[WORD_ROUTE], "route") != 0) {
        return false;
    }
    for (int i = WORD_HOPS; i < argc - 1; i++) {
        if (!add_word(t->route, argv[i])) {
            return false;
        }
    }
    (void)snprintf(final, sizeof final, "%.15s://%s:%d", argv[argc - 1], t->host, t->port);
    return add_word(t->route, final);
}

static bool parse_port(const char *text, int *ret)
{
    char *end = NULL;
    long port = strtol(text, &end, 10);

    if (end == text || *end != '\0' || port < 0 || port > 65535) {
        return false;
    }
    *ret = (int)port;
    return true;
}

static bool refuse_state(const char *word, enum keeper_state state, char *error, size_t size)
{
    if (state == KEEPER_UNKNOWN) {
        (void)snprintf(error, size, "state can not change to unknown!");
        return true;
    }
    if (state != KEEPER_ACTIVE && state != KEEPER_BACKUP) {
        (void)snprintf(error, size, "unrecognised state:%.64s", word);
        return true;
    }
    return false;
}

static void join(const char *const *argv, int argc, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < argc && used < size; i++) {
        int n = snprintf(out + used, size - used, " %s", argv[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

bool setstate_parse(const char *const *argv, int argc, enum keeper_state *ret_state,
                    struct target *ret_target, char *error, size_t error_size)
{
    char words[TEXT_MAX / 2];
    struct target t = { .port = 0 };

    join(argv, argc, words, sizeof words);
    if (argc <= WORD_PORT) {
        (void)snprintf(error, error_size, "setstate argument error:setstate%s", words);
        return false;
    }
    if (!keeper_state_parse(argv[WORD_STATE], ret_state)) {
        (void)snprintf(error, error_size,
                       "No enum constant com.ctrip.xpipe.redis.core.meta.KeeperState.%.64s",
                       argv[WORD_STATE]);
        return false;
    }
    if (!text_copy(t.host, sizeof t.host, argv[WORD_HOST], strlen(argv[WORD_HOST])) ||
        !parse_port(argv[WORD_PORT], &t.port) || !parse_route(argv, argc, &t)) {
        (void)snprintf(error, error_size, "setstate argument error:setstate%s", words);
        return false;
    }
    if (refuse_state(argv[WORD_STATE], *ret_state, error, error_size)) {
        return false;
    }
    *ret_target = t;
    return true;
}
