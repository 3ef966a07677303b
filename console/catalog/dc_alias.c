/* dc_alias.c - see dc_alias.h. */
#include "console/catalog/dc_alias.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <jansson.h>
#include <string.h>

#include "shared/base/banned.h"

enum { ALIASES_MAX = 1000, NAME_MAX_BYTES = 128 };

struct alias_pair {
    char *inner;
    char *outer;
};

struct dc_alias {
    struct alias_pair *pairs;
    size_t count;
    struct map by_inner; /* struct alias_pair *, borrowed from 'pairs' */
    struct map by_outer;
};

void dc_alias_free(struct dc_alias *alias)
{
    if (!alias) {
        return;
    }
    for (size_t i = 0; i < alias->count; i++) {
        free(alias->pairs[i].inner);
        free(alias->pairs[i].outer);
    }
    free(alias->pairs);
    map_done(&alias->by_inner);
    map_done(&alias->by_outer);
    free(alias);
}

static int add_pair(struct dc_alias *alias, const char *inner, const json_t *value,
                    struct xp_err *err)
{
    const char *outer = json_string_value(value);
    if (text_is_empty(inner) || text_is_empty(outer) || strlen(inner) > NAME_MAX_BYTES ||
        strlen(outer) > NAME_MAX_BYTES) {
        return xp_fail(err, XP_INVALID, "DC alias '%s': both names must be texts of 1..%d bytes",
                       inner, NAME_MAX_BYTES);
    }
    struct alias_pair *pair = &alias->pairs[alias->count++];
    *pair = (struct alias_pair){ .inner = xstrdup(inner), .outer = xstrdup(outer) };
    if (map_put(&alias->by_inner, inner, pair) || map_put(&alias->by_outer, outer, pair)) {
        return xp_fail(err, XP_INVALID, "DC alias '%s': '%s' or '%s' is used twice", inner, inner,
                       outer);
    }
    return 0;
}

/* An outer name that is the inner name of another DC would make input ambiguous. */
static int check_ambiguous(const struct dc_alias *alias, struct xp_err *err)
{
    for (size_t i = 0; i < alias->count; i++) {
        const struct alias_pair *pair = &alias->pairs[i];
        const struct alias_pair *other = map_get(&alias->by_inner, pair->outer);
        if (other && other != pair) {
            return xp_fail(err, XP_INVALID,
                           "DC alias '%s': its outer name '%s' is the inner name of another entry",
                           pair->inner, pair->outer);
        }
    }
    return 0;
}

static int fill(struct dc_alias *alias, json_t *root, struct xp_err *err)
{
    const char *inner = NULL;
    json_t *value = NULL;
    if (!json_is_object(root) || json_object_size(root) > ALIASES_MAX) {
        return xp_fail(err, XP_INVALID,
                       "DC aliases: must be a JSON object {\"<inner>\":\"<outer>\"} of at most %d",
                       ALIASES_MAX);
    }
    alias->pairs = xcalloc(json_object_size(root) + 1, sizeof(*alias->pairs));
    json_object_foreach (root, inner, value) {
        int rc = add_pair(alias, inner, value, err);
        if (rc != 0) {
            return rc;
        }
    }
    return check_ambiguous(alias, err);
}

int dc_alias_parse(const char *json_text, struct dc_alias **ret_alias, struct xp_err *err)
{
    bool is_blank = text_is_empty(json_text) || json_text[strspn(json_text, " \t\r\n")] == '\0';
    struct dc_alias *alias = xcalloc(1, sizeof(*alias));
    alias->by_inner = MAP_INIT(MAP_TEXT_NOCASE);
    alias->by_outer = MAP_INIT(MAP_TEXT_NOCASE);
    int rc = 0;
    if (!is_blank) {
        json_error_t where;
        json_t *root = json_loads(json_text, JSON_REJECT_DUPLICATES, &where);
        rc = root
                 ? fill(alias, root, err)
                 : xp_fail(err, XP_INVALID, "DC aliases: %s (column %d)", where.text, where.column);
        json_decref(root);
    }
    if (rc != 0) {
        dc_alias_free(alias);
        return rc;
    }
    *ret_alias = alias;
    return 0;
}

const char *dc_alias_inner(const struct dc_alias *alias, const char *name)
{
    const struct alias_pair *pair = alias && name ? map_get(&alias->by_outer, name) : NULL;
    return pair ? pair->inner : name;
}

const char *dc_alias_outer(const struct dc_alias *alias, const char *name)
{
    const struct alias_pair *pair = alias && name ? map_get(&alias->by_inner, name) : NULL;
    return pair ? pair->outer : name;
}
