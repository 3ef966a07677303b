/* switch_words.c - what the bodies of a switchover have in common: addresses, masterInfo, saved settings (see switch_words.h). */
#include "shared/switch/switch_words.h"

#include <ctype.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/switch_words_internal.h"

#include "shared/base/banned.h"

/* ---- addresses ---- */

int switch_words_decode_addr(const json_t *value, void *field, struct xp_err *err)
{
    struct addr *addr = field;
    if (json_is_string(value)) {
        if (json_string_length(value) == 0) {
            *addr = (struct addr){ 0 };
            return 0;
        }
        return addr_parse(json_string_value(value), json_string_length(value), addr, err);
    }
    const json_t *host = json_object_get(value, "host");
    const json_t *port = json_object_get(value, "port");
    if (!json_is_object(value) || !json_is_string(host) || !json_is_integer(port)) {
        return xp_fail(err, XP_INVALID, "it is no address ({\"host\",\"port\"} or \"host:port\")");
    }
    struct str text AUTO_STR = STR_INIT(1024);
    bool is_v6 = strchr(json_string_value(host), ':') != NULL;
    if (json_string_length(host) == 0 || json_integer_value(port) == 0) {
        *addr = (struct addr){ 0 };
        return 0;
    }
    str_puts(&text, is_v6 ? "[" : "");
    str_add(&text, json_string_value(host), json_string_length(host));
    str_printf(&text, "%s:%" JSON_INTEGER_FORMAT, is_v6 ? "]" : "", json_integer_value(port));
    if (text.overflow) {
        return xp_fail(err, XP_INVALID, "the host is too long");
    }
    return addr_parse(str_text(&text), text.len, addr, err);
}

json_t *words_addr_or_null(const struct addr *addr)
{
    return addr_is_none(addr)
               ? json_null()
               : json_pack("{s:o, s:i}", "host", jd_text(addr->host), "port", addr->port);
}

json_t *words_addr_text_or_null(const struct addr *addr)
{
    return addr_is_none(addr) ? json_null() : jd_text(ADDR_TEXT(addr));
}

/* ---- texts ---- */

/* A cut never leaves half a character. */
static size_t cut_length(const char *text, size_t length)
{
    if (length <= SWITCH_TEXT_MAX) {
        return length;
    }
    size_t cut = SWITCH_TEXT_MAX;
    while (cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80) {
        cut--;
    }
    return cut;
}

int words_decode_text(const json_t *value, void *field, struct xp_err *err)
{
    if (!json_is_string(value)) {
        return xp_fail(err, XP_INVALID, "it is not a text");
    }
    const char *text = json_string_value(value);
    size_t length = cut_length(text, json_string_length(value));
    char *copy = xstrndup(text, length);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)copy[i];
        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7F) {
            copy[i] = '?';
        }
    }
    free(*(char **)field);
    *(char **)field = copy;
    return 0;
}

int switch_words_decode_repl_id(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    bool is_good = text && length < REPL_ID_SIZE;
    for (size_t i = 0; is_good && i < length; i++) {
        is_good = isalnum((unsigned char)text[i]) || text[i] == '?';
    }
    if (!is_good) {
        return xp_fail(err, XP_INVALID, "it is no replication id (up to %d letters and digits)",
                       REPL_ID_SIZE - 1);
    }
    memset(field, 0, REPL_ID_SIZE);
    memcpy(field, text, length);
    return 0;
}

json_t *words_text_or_null(const char *text)
{
    return text_is_empty(text) ? json_null() : jd_text(text);
}

/* ---- masterInfo ---- */

#define INFO(member) offsetof(struct words_info, member)
/* clang-format off */
static const struct jfield info_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "replId", .type = JF_CUSTOM, .offset = INFO(repl_id), .decode = switch_words_decode_repl_id },
    { .name = "masterReplOffset", .type = JF_INT64, .offset = INFO(offset) },
    { 0 },
};
/* clang-format on */

int words_decode_info(const json_t *value, void *field, struct xp_err *err)
{
    struct words_info info = { .has_info = true };
    int rc = jd_object(value, info_fields, &info, err);
    if (rc == 0) {
        *(struct words_info *)field = info;
    }
    return rc;
}

json_t *words_info_or_null(bool has_info, const char *repl_id, int64_t offset)
{
    return has_info
               ? json_pack("{s:s, s:I, s:o, s:b}", "role", "MASTER", "masterReplOffset",
                           (json_int_t)offset, "replId", words_text_or_null(repl_id), "keeper", 0)
               : json_null();
}

/* ---- saved settings ---- */

#define SAVED(member) offsetof(struct fence_saved, member)
/* clang-format off */
static const struct jfield saved_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "minSlaves", .type = JF_ID, .offset = SAVED(min_slaves), .flags = JF_REQUIRED },
    { .name = "maxLagS", .type = JF_ID, .offset = SAVED(max_lag_s), .flags = JF_REQUIRED },
    { .name = "writableReplica", .type = JF_BOOL, .offset = SAVED(was_writable_replica) },
    { 0 },
};
/* clang-format on */

int words_decode_saved(const json_t *value, void *field, struct xp_err *err)
{
    struct fence_saved saved = { .is_known = true };
    int rc = jd_object(value, saved_fields, &saved, err);
    if (rc == 0) {
        *(struct fence_saved *)field = saved;
    }
    return rc;
}

json_t *words_saved_or_null(const struct fence_saved *saved)
{
    return saved->is_known
               ? json_pack("{s:I, s:I, s:b}", "minSlaves", (json_int_t)saved->min_slaves, "maxLagS",
                           (json_int_t)saved->max_lag_s, "writableReplica",
                           saved->was_writable_replica)
               : json_null();
}

/* ---- fence states ---- */

static const char *const states[] = {
    [FENCE_NONE] = "none",
    [FENCE_HELD] = "held",
    [FENCE_FROZEN] = "frozen",
    [FENCE_RELEASED] = "released",
    [FENCE_UNREACHABLE] = "unreachable",
};

const char *fence_state_text(enum fence_state state)
{
    return states[state];
}

int words_decode_state(const json_t *value, void *field, struct xp_err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (json_is_string(value) && text_eq(json_string_value(value), states[i])) {
            *(enum fence_state *)field = (enum fence_state)i;
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "it is none of none, held, frozen, released, unreachable");
}
