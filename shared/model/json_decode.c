/* json_decode.c - see json_decode.h. One function a field type; the place of a value is a chain on the stack, written out
 * only when something is wrong there. */
#include "shared/model/json_decode.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

#define STRING_MAX_BYTES_DEFAULT 65535
#define NAME_MAX_BYTES           128
#define HOST_MAX_BYTES           63
#define COUNT_MAX_DEFAULT        100000
#define PATH_MAX_BYTES           160

struct place {
    const struct place *up;
    const char *name; /* NULL: an element of an array, by its index */
    size_t index;
};

/* One value on its way into one field. */
struct item {
    const struct jfield *row;
    const json_t *value;
    const struct place *at;
    struct xp_err *err;
};

/* Every list has this layout: struct { T *items; size_t count; }. */
struct any_list {
    void *items;
    size_t count;
};

/* Names and values come from outside: one line, of limited length. */
static void put_clean(struct str *text, const char *bytes, size_t max_bytes)
{
    for (size_t i = 0; bytes[i] && i < max_bytes; i++) {
        unsigned char c = (unsigned char)bytes[i];
        str_putc(text, c < ' ' || c == 0x7F ? '?' : bytes[i]);
    }
}

static void put_place(struct str *text, const struct place *at)
{
    if (!at) {
        return;
    }
    put_place(text, at->up);
    if (at->name) {
        str_puts(text, text->len > 0 ? "." : "");
        put_clean(text, at->name, NAME_MAX_BYTES);
    } else {
        str_printf(text, "[%zu]", at->index);
    }
}

static int fail_at(const struct place *at, struct xp_err *err, const char *fmt, ...)
    XP_PRINTF(3, 4);
static int fail_at(const struct place *at, struct xp_err *err, const char *fmt, ...)
{
    char what[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    struct str path AUTO_STR = STR_INIT(PATH_MAX_BYTES * 64);
    put_place(&path, at);
    return xp_fail(err, XP_INVALID, "%.*s%s%s", PATH_MAX_BYTES, str_text(&path),
                   path.len > 0 ? ": " : "", what);
}

/* How a value is named in a message: "70000", "'abc'", "an object". */
static const char *shown(const json_t *value, char *buf, size_t size)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",      [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number"
    };
    struct str text AUTO_STR = STR_INIT(64);
    if (json_is_string(value)) {
        str_putc(&text, '\'');
        put_clean(&text, json_string_value(value), 40);
        str_putc(&text, '\'');
    } else if (json_is_integer(value)) {
        str_printf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        str_printf(&text, "%.10g", json_real_value(value));
    } else {
        str_puts(&text, kinds[json_typeof(value)]);
    }
    (void)snprintf(buf, size, "%s", str_text(&text));
    return buf;
}
#define SHOWN(value) shown((value), (char[64]){ 0 }, 64)

static int fail_not(const struct item *it, const char *wanted)
{
    return fail_at(it->at, it->err, "%s is not %s", SHOWN(it->value), wanted);
}

/* ---- texts ---- */

static bool has_control_chars(const char *text, size_t length, const char *allowed)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < ' ' || c == 0x7F) && (c == 0 || !strchr(allowed, c))) {
            return true;
        }
    }
    return false;
}

static int check_text(const struct item *it, size_t max_bytes, const char *allowed)
{
    size_t length = json_string_length(it->value);
    if (!json_is_string(it->value)) {
        return fail_not(it, "a text");
    }
    if (length > max_bytes) {
        return fail_at(it->at, it->err, "a text of %zu bytes is over the limit of %zu", length,
                       max_bytes);
    }
    if (has_control_chars(json_string_value(it->value), length, allowed)) {
        return fail_at(it->at, it->err, "the text has control characters");
    }
    return XP_OK;
}

static void store_text(void *field, const json_t *value)
{
    char **text = field;
    free(*text);
    *text = xstrndup(json_string_value(value), json_string_length(value));
}

static int decode_string(const struct item *it, void *field)
{
    size_t max_bytes = it->row->max_length ? it->row->max_length : STRING_MAX_BYTES_DEFAULT;
    int rc = check_text(it, max_bytes, "\t\r\n");
    if (rc == 0) {
        store_text(field, it->value);
    }
    return rc;
}

/* Names become elements of URLs: there "." and ".." are no names. */
bool jd_is_name(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= NAME_MAX_BYTES && !strchr(text, '/') &&
           !has_control_chars(text, length, "") && strcmp(text, ".") != 0 &&
           strcmp(text, "..") != 0;
}

static int decode_name(const struct item *it, void *field)
{
    int rc = check_text(it, NAME_MAX_BYTES, "");
    if (rc) {
        return rc;
    }
    if (!jd_is_name(json_string_value(it->value))) {
        return fail_not(it, "a name (1..128 bytes without '/', not '.' or '..')");
    }
    store_text(field, it->value);
    return XP_OK;
}

static int decode_dc(const struct item *it, void *field)
{
    int rc = decode_name(it, field);
    if (rc == 0) {
        text_lower(*(char **)field);
    }
    return rc;
}

static int decode_host(const struct item *it, void *field)
{
    int rc = check_text(it, HOST_MAX_BYTES, "");
    if (rc) {
        return rc;
    }
    const char *text = json_string_value(it->value);
    if (text[0] == '\0' || strchr(text, ' ')) {
        return fail_not(it, "a host (1..63 bytes without blanks)");
    }
    store_text(field, it->value);
    return XP_OK;
}

static int decode_strings(const struct item *it, void *field)
{
    struct {
        char **items;
        size_t count;
    } *list = field;
    size_t max_count = it->row->max_count ? it->row->max_count : COUNT_MAX_DEFAULT;
    if (!json_is_array(it->value)) {
        return fail_not(it, "an array");
    }
    if (json_array_size(it->value) > max_count) {
        return fail_at(it->at, it->err, "%zu elements are over the limit of %zu",
                       json_array_size(it->value), max_count);
    }
    if (json_array_size(it->value) == 0 && (it->row->flags & JF_NOT_EMPTY)) {
        return fail_at(it->at, it->err, "it is empty");
    }
    list->items = xcalloc(json_array_size(it->value), sizeof(char *));
    for (; list->count < json_array_size(it->value); list->count++) {
        struct place at = { .up = it->at, .index = list->count };
        struct item element = { it->row, json_array_get(it->value, list->count), &at, it->err };
        int rc = decode_string(&element, &list->items[list->count]);
        if (rc) {
            return rc;
        }
    }
    return XP_OK;
}

/* ---- numbers ---- */

static int decode_bool(const struct item *it, void *field)
{
    if (!json_is_boolean(it->value)) {
        return fail_not(it, "true or false");
    }
    *(bool *)field = json_is_true(it->value);
    return XP_OK;
}

static int number_between(const struct item *it, int64_t min, int64_t max, const char *wanted,
                          int64_t *ret_number)
{
    int64_t number = json_integer_value(it->value);
    bool is_text = json_is_string(it->value) && (it->row->flags & (JF_INT_AS_TEXT | JF_KEY));
    if (is_text) {
        const char *text = json_string_value(it->value);
        if (!text_to_i64(text, json_string_length(it->value), INT64_MIN, INT64_MAX, &number)) {
            return fail_not(it, wanted);
        }
    } else if (!json_is_integer(it->value)) {
        return fail_not(it, wanted);
    }
    if (number < min || number > max) {
        return fail_not(it, wanted);
    }
    *ret_number = number;
    return XP_OK;
}

static int decode_int32(const struct item *it, void *field)
{
    int64_t number = 0;
    int rc = number_between(it, INT32_MIN, INT32_MAX, "a whole number of 32 bits", &number);
    if (rc == 0) {
        *(int32_t *)field = (int32_t)number;
    }
    return rc;
}

static int decode_int64(const struct item *it, void *field)
{
    return number_between(it, INT64_MIN, INT64_MAX, "a whole number", field);
}

static int decode_id(const struct item *it, void *field)
{
    return number_between(it, 0, INT64_MAX, "an id (a whole number from 0 on)", field);
}

static int decode_port(const struct item *it, void *field)
{
    int64_t number = 0;
    int rc = number_between(it, 1, 65535, "a port (1..65535)", &number);
    if (rc == 0) {
        *(int *)field = (int)number;
    }
    return rc;
}

/* ---- objects and lists ---- */

static int decode_object(const json_t *value, const char *key, const struct jfield *table,
                         const struct item *it, void *object);

static int decode_embedded(const struct item *it, void *field)
{
    return decode_object(it->value, NULL, it->row->sub, it, field);
}

/* Makes room for all elements at once, zeroed, so that a half-filled list can be freed. */
static int open_list(const struct item *it, size_t count, void *field)
{
    size_t max_count = it->row->max_count ? it->row->max_count : COUNT_MAX_DEFAULT;
    if (count > max_count) {
        return fail_at(it->at, it->err, "%zu elements are over the limit of %zu", count, max_count);
    }
    struct any_list list = { .items = xcalloc(count, it->row->elem_size), .count = count };
    memcpy(field, &list, sizeof(list));
    return XP_OK;
}

static int decode_element(const struct item *it, const json_t *value, const char *key,
                          const struct place *at, void *field)
{
    struct any_list list;
    memcpy(&list, field, sizeof(list));
    struct item element = { it->row, value, at, it->err };
    void *object = (char *)list.items + at->index * it->row->elem_size;
    return decode_object(value, key, it->row->sub, &element, object);
}

static int decode_array(const struct item *it, void *field)
{
    if (!json_is_array(it->value)) {
        return fail_not(it, "an array");
    }
    int rc = open_list(it, json_array_size(it->value), field);
    for (size_t i = 0; rc == 0 && i < json_array_size(it->value); i++) {
        struct place at = { .up = it->at, .index = i };
        rc = decode_element(it, json_array_get(it->value, i), NULL, &at, field);
    }
    return rc;
}

static int decode_map(const struct item *it, void *field)
{
    if (!json_is_object(it->value)) {
        return fail_not(it, "an object");
    }
    int rc = open_list(it, json_object_size(it->value), field);
    const char *key = NULL;
    json_t *value = NULL;
    size_t index = 0;
    json_object_foreach (jd_iterable(it->value), key, value) {
        struct place at = { .up = it->at, .name = key, .index = index++ };
        rc = rc ? rc : decode_element(it, value, key, &at, field);
    }
    return rc;
}

static int decode_custom(const struct item *it, void *field)
{
    struct xp_err inner = { 0 };
    int rc = it->row->decode(it->value, field, &inner);
    if (rc) {
        (void)fail_at(it->at, it->err, "%s", inner.msg);
        if (it->err) {
            it->err->code = rc;
        }
        return rc;
    }
    return XP_OK;
}

static int (*const decoders[])(const struct item *, void *) = {
    [JF_STRING] = decode_string,   [JF_NAME] = decode_name,     [JF_DC] = decode_dc,
    [JF_HOST] = decode_host,       [JF_BOOL] = decode_bool,     [JF_INT32] = decode_int32,
    [JF_INT64] = decode_int64,     [JF_ID] = decode_id,         [JF_PORT] = decode_port,
    [JF_OBJECT] = decode_embedded, [JF_ARRAY] = decode_array,   [JF_MAP] = decode_map,
    [JF_STRINGS] = decode_strings, [JF_CUSTOM] = decode_custom,
};

static bool is_flag_row(const struct jfield *row)
{
    return row->name && row->name[0] == '\0';
}

/* The first row that stands for a field. */
static const struct jfield *first_row(const struct jfield *table)
{
    return is_flag_row(table) ? table + 1 : table;
}

static int table_flags(const struct jfield *table)
{
    return is_flag_row(table) ? table->flags : 0;
}

static const json_t *find_member(const json_t *object, const char *name, int flags)
{
    const json_t *value = json_object_get(object, name);
    if (value || !(flags & JF_TABLE_ANY_CASE)) {
        return value;
    }
    const char *key = NULL;
    json_t *member = NULL;
    json_object_foreach (jd_iterable(object), key, member) {
        if (strcasecmp(key, name) == 0) {
            return member;
        }
    }
    return NULL;
}

static bool is_in_table(const char *key, const struct jfield *table)
{
    bool any_case = table_flags(table) & JF_TABLE_ANY_CASE;
    for (const struct jfield *row = first_row(table); row->name; row++) {
        if (strcmp(key, row->name) == 0 || (any_case && strcasecmp(key, row->name) == 0)) {
            return true;
        }
    }
    return false;
}

static int refuse_unknown(const json_t *object, const struct jfield *table, const struct item *it)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach (jd_iterable(object), key, value) {
        if (!is_in_table(key, table)) {
            struct place at = { .up = it->at, .name = key };
            return fail_at(&at, it->err, "this field is not known here");
        }
    }
    return XP_OK;
}

static int decode_absent(const struct item *it, void *field)
{
    if (it->row->flags & JF_SEE_ABSENT) {
        struct item nothing = *it;
        nothing.value = NULL;
        return decode_custom(&nothing, field);
    }
    return it->row->flags & JF_REQUIRED ? fail_at(it->at, it->err, "it is missing") : XP_OK;
}

static int decode_field(const json_t *object, const char *key, int flags, struct item *it,
                        void *field)
{
    json_auto_t *from_key = NULL;
    it->value = find_member(object, it->row->name, flags);
    if ((!it->value || json_is_null(it->value)) && key && (it->row->flags & JF_KEY)) {
        from_key = json_string(key);
        it->value = from_key;
    }
    if (it->value && json_is_null(it->value) && (it->row->flags & JF_NOT_NULL)) {
        return fail_at(it->at, it->err, "it is null");
    }
    if (!it->value || json_is_null(it->value)) {
        return decode_absent(it, field);
    }
    return decoders[it->row->type](it, field);
}

/* 'key' is the name of the member that 'value' is of, in a map; 'it' carries place and error. */
static int decode_object(const json_t *value, const char *key, const struct jfield *table,
                         const struct item *it, void *object)
{
    int flags = table_flags(table);
    if (!json_is_object(value)) {
        return fail_at(it->at, it->err, "%s is not an object", value ? SHOWN(value) : "nothing");
    }
    int rc = flags & JF_TABLE_STRICT ? refuse_unknown(value, table, it) : XP_OK;
    for (const struct jfield *row = first_row(table); rc == 0 && row->name; row++) {
        struct place at = { .up = it->at, .name = row->name };
        struct item field = { row, NULL, &at, it->err };
        rc = decode_field(value, key, flags, &field, (char *)object + row->offset);
    }
    return rc;
}

int jd_object(const json_t *value, const struct jfield *table, void *ret_struct, struct xp_err *err)
{
    struct item top = { .err = err };
    return decode_object(value, NULL, table, &top, ret_struct);
}

/* ---- freeing ---- */

static void free_strings(void *field)
{
    struct {
        char **items;
        size_t count;
    } *list = field;
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

static void free_list(const struct jfield *row, void *field)
{
    struct any_list list;
    memcpy(&list, field, sizeof(list));
    for (size_t i = 0; i < list.count; i++) {
        jd_done(row->sub, (char *)list.items + i * row->elem_size);
    }
    free(list.items);
    list = (struct any_list){ 0 };
    memcpy(field, &list, sizeof(list));
}

static void free_field(const struct jfield *row, void *field)
{
    switch (row->type) {
    case JF_STRING:
    case JF_NAME:
    case JF_DC:
    case JF_HOST:
        free(*(char **)field);
        *(char **)field = NULL;
        break;
    case JF_STRINGS:
        free_strings(field);
        break;
    case JF_OBJECT:
        jd_done(row->sub, field);
        break;
    case JF_ARRAY:
    case JF_MAP:
        free_list(row, field);
        break;
    case JF_BOOL:
    case JF_INT32:
    case JF_INT64:
    case JF_ID:
    case JF_PORT:
    case JF_CUSTOM:
        break;
    }
}

void jd_done(const struct jfield *table, void *object)
{
    for (const struct jfield *row = first_row(table); row->name; row++) {
        free_field(row, (char *)object + row->offset);
    }
}
