/* json_decode_test.c - json_decode.h: every field type, the paths in messages, limits of texts. */
#include "tests/unit/unit.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

struct part {
    char *name;
    int port;
};

struct whole {
    char *text;
    char *name;
    char *dc;
    char *host;
    bool flag;
    int32_t small;
    int64_t large;
    int64_t id;
    int port;
    struct part inner;
    struct {
        struct part *items;
        size_t count;
    } list;
    struct {
        struct part *items;
        size_t count;
    } map;
    struct {
        char **items;
        size_t count;
    } texts;
    int64_t custom;
    char *meant;
    struct {
        char **items;
        size_t count;
    } some;
};

static int decode_custom(const json_t *value, void *field, struct xp_err *err)
{
    if (value && !json_is_integer(value)) {
        return xp_fail(err, XP_CONFLICT, "not my number");
    }
    *(int64_t *)field = value ? json_integer_value(value) : -7;
    return XP_OK;
}

#define PART(member)  offsetof(struct part, member)
#define WHOLE(member) offsetof(struct whole, member)
/* clang-format off */
static const struct jfield part_fields[] = {
    { .name = "name", .type = JF_NAME, .offset = PART(name), .flags = JF_KEY },
    { .name = "port", .type = JF_PORT, .offset = PART(port), .flags = JF_REQUIRED },
    { 0 },
};
static const struct jfield whole_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "text", .type = JF_STRING, .offset = WHOLE(text), .max_length = 10 },
    { .name = "name", .type = JF_NAME, .offset = WHOLE(name) },
    { .name = "dc", .type = JF_DC, .offset = WHOLE(dc) },
    { .name = "host", .type = JF_HOST, .offset = WHOLE(host) },
    { .name = "flag", .type = JF_BOOL, .offset = WHOLE(flag) },
    { .name = "small", .type = JF_INT32, .offset = WHOLE(small) },
    { .name = "large", .type = JF_INT64, .offset = WHOLE(large), .flags = JF_INT_AS_TEXT },
    { .name = "id", .type = JF_ID, .offset = WHOLE(id) },
    { .name = "port", .type = JF_PORT, .offset = WHOLE(port) },
    { .name = "inner", .type = JF_OBJECT, .offset = WHOLE(inner), .sub = part_fields },
    { .name = "list", .type = JF_ARRAY, .offset = WHOLE(list), .sub = part_fields, .elem_size = sizeof(struct part), .max_count = 3 },
    { .name = "map", .type = JF_MAP, .offset = WHOLE(map), .sub = part_fields, .elem_size = sizeof(struct part), .max_count = 3 },
    { .name = "texts", .type = JF_STRINGS, .offset = WHOLE(texts), .max_count = 2 },
    { .name = "custom", .type = JF_CUSTOM, .offset = WHOLE(custom), .flags = JF_SEE_ABSENT, .decode = decode_custom },
    { .name = "meant", .type = JF_STRING, .offset = WHOLE(meant), .flags = JF_NOT_NULL },
    { .name = "some", .type = JF_STRINGS, .offset = WHOLE(some), .flags = JF_NOT_EMPTY },
    { 0 },
};
static const struct jfield strict_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    { .name = "port", .type = JF_PORT, .offset = PART(port) },
    { 0 },
};
/* clang-format on */

static int decode(const char *text, struct whole *whole, struct xp_err *err)
{
    json_auto_t *json = NULL;
    assert_int_equal(jd_parse(text, strlen(text), &json, err), XP_OK);
    return jd_object(json, whole_fields, whole, err);
}

static void every_type_is_decoded(void **state)
{
    (void)state;
    static const char text[] =
        "{\"text\":\"a\\tb\\n\",\"name\":\"n m\",\"dc\":\"FRA-AWS\",\"host\":\"h\",\"flag\":true,"
        "\"small\":-2147483648,\"large\":\"-9223372036854775808\",\"id\":9223372036854775807,"
        "\"port\":65535,\"inner\":{\"name\":\"i\",\"port\":1},"
        "\"list\":[{\"name\":\"x\",\"port\":2},{\"port\":3}],"
        "\"map\":{\"k1\":{\"port\":4},\"k2\":{\"name\":\"own\",\"port\":5}},"
        "\"texts\":[\"p\",\"\"],\"custom\":8,\"unknown\":[{}]}";
    struct whole w = { 0 };
    assert_int_equal(decode(text, &w, NULL), XP_OK);
    assert_string_equal(w.text, "a\tb\n");
    assert_string_equal(w.name, "n m");
    assert_string_equal(w.dc, "fra-aws");
    assert_string_equal(w.host, "h");
    assert_true(w.flag);
    assert_int_equal(w.small, INT32_MIN);
    assert_true(w.large == INT64_MIN);
    assert_true(w.id == INT64_MAX);
    assert_int_equal(w.port, 65535);
    assert_string_equal(w.inner.name, "i");
    assert_int_equal(w.list.count, 2);
    assert_null(w.list.items[1].name);
    assert_int_equal(w.list.items[1].port, 3);
    assert_int_equal(w.map.count, 2);
    assert_string_equal(w.map.items[0].name, "k1");
    assert_string_equal(w.map.items[1].name, "own");
    assert_int_equal(w.texts.count, 2);
    assert_string_equal(w.texts.items[0], "p");
    assert_int_equal(w.custom, 8);
    jd_done(whole_fields, &w);
    assert_null(w.text);
    assert_null(w.list.items);
    assert_int_equal(w.map.count, 0);
    assert_int_equal(w.texts.count, 0);
    jd_done(whole_fields, &w);
}

static void null_and_absent_are_the_same(void **state)
{
    (void)state;
    struct whole w = { .small = 5 };
    assert_int_equal(
        decode("{\"text\":null,\"list\":null,\"small\":null,\"inner\":null}", &w, NULL), XP_OK);
    assert_null(w.text);
    assert_int_equal(w.small, 5);
    assert_int_equal(w.list.count, 0);
    assert_int_equal(w.custom, -7);
    jd_done(whole_fields, &w);
}

static void names_match_exactly_then_in_any_case(void **state)
{
    (void)state;
    struct whole w = { 0 };
    assert_int_equal(decode("{\"PORT\":1,\"Flag\":true}", &w, NULL), XP_OK);
    assert_int_equal(w.port, 1);
    assert_true(w.flag);
    assert_int_equal(decode("{\"PORT\":1,\"port\":2}", &w, NULL), XP_OK);
    assert_int_equal(w.port, 2);
    struct xp_err err = { 0 };
    assert_int_equal(decode("{\"inner\":{\"PORT\":1}}", &w, &err), XP_INVALID); /* not that table */
    assert_string_equal(err.msg, "inner.port: it is missing");
    jd_done(whole_fields, &w);
}

static void messages_name_the_path(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        { "{\"port\":70000}", "port: 70000 is not a port (1..65535)" },
        { "{\"port\":5e9}", "port: 5000000000 is not a port (1..65535)" },
        { "{\"port\":5000000000}", "port: 5000000000 is not a port (1..65535)" },
        { "{\"port\":6379.0}", "port: 6379 is not a port (1..65535)" },
        { "{\"port\":\"6379\"}", "port: '6379' is not a port (1..65535)" },
        { "{\"port\":0}", "port: 0 is not a port (1..65535)" },
        { "{\"small\":2147483648}", "small: 2147483648 is not a whole number of 32 bits" },
        { "{\"large\":\"12x\"}", "large: '12x' is not a whole number" },
        { "{\"large\":1.5}", "large: 1.5 is not a whole number" },
        { "{\"id\":-1}", "id: -1 is not an id (a whole number from 0 on)" },
        { "{\"id\":\"1\"}", "id: '1' is not an id (a whole number from 0 on)" },
        { "{\"flag\":1}", "flag: 1 is not true or false" },
        { "{\"text\":5}", "text: 5 is not a text" },
        { "{\"text\":\"12345678901\"}", "text: a text of 11 bytes is over the limit of 10" },
        { "{\"text\":\"\\u0001\"}", "text: the text has control characters" },
        { "{\"name\":\"\"}", "name: '' is not a name (1..128 bytes without '/', not '.' or '..')" },
        { "{\"name\":\"a/b\"}",
          "name: 'a/b' is not a name (1..128 bytes without '/', not '.' or '..')" },
        { "{\"name\":\"a\\tb\"}", "name: the text has control characters" },
        { "{\"dc\":\"\"}", "dc: '' is not a name (1..128 bytes without '/', not '.' or '..')" },
        { "{\"host\":\"a b\"}", "host: 'a b' is not a host (1..63 bytes without blanks)" },
        { "{\"inner\":[]}", "inner: an array is not an object" },
        { "{\"inner\":{}}", "inner.port: it is missing" },
        { "{\"meant\":null}", "meant: it is null" },
        { "{\"some\":[]}", "some: it is empty" },
        { "{\"list\":{}}", "list: an object is not an array" },
        { "{\"list\":[{\"port\":1},{\"port\":-2}]}", "list[1].port: -2 is not a port (1..65535)" },
        { "{\"list\":[null]}", "list[0]: null is not an object" },
        { "{\"list\":[1,2,3,4]}", "list: 4 elements are over the limit of 3" },
        { "{\"map\":[]}", "map: an array is not an object" },
        { "{\"map\":{\"a\":{\"port\":1},\"b\\n\":{\"port\":0}}}",
          "map.b?.name: the text has control characters" },
        { "{\"map\":{\"a/b\":{\"port\":1}}}",
          "map.a/b.name: 'a/b' is not a name (1..128 bytes without '/', not '.' or '..')" },
        { "{\"texts\":[\"a\",1]}", "texts[1]: 1 is not a text" },
        { "{\"texts\":\"a\"}", "texts: 'a' is not an array" },
        { "[1]", "an array is not an object" },
        { "null", "null is not an object" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct whole w = { 0 };
        struct xp_err err = { 0 };
        assert_int_equal(decode(rows[i].text, &w, &err), XP_INVALID);
        assert_string_equal(err.msg, rows[i].message);
        jd_done(whole_fields, &w);
    }
    struct whole w = { 0 };
    struct xp_err err = { 0 };
    assert_int_equal(decode("{\"custom\":\"x\"}", &w, &err), XP_CONFLICT);
    assert_int_equal(err.code, XP_CONFLICT);
    assert_string_equal(err.msg, "custom: not my number");
}

static void strict_tables_refuse_unknown_members(void **state)
{
    (void)state;
    struct part part = { 0 };
    struct xp_err err = { 0 };
    json_auto_t *json = json_pack("{s:i, s:i}", "port", 1, "prot", 2);
    assert_int_equal(jd_object(json, strict_fields, &part, &err), XP_INVALID);
    assert_string_equal(err.msg, "prot: this field is not known here");
    json_object_del(json, "prot");
    assert_int_equal(jd_object(json, strict_fields, &part, &err), XP_OK);
    json_object_del(json, "port");
    json_object_set_new(json, "PORT", json_integer(1));
    assert_int_equal(jd_object(json, strict_fields, &part, &err), XP_INVALID);
}

static char *nested(size_t depth)
{
    char *text = xcalloc(2 * depth + 1, 1);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return text;
}

static void texts_have_limits(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "{",
                                       "{} x",
                                       "{\"a\":1,\"a\":2}",
                                       "{\"a\":\"\\u0000\"}",
                                       "\"\xff\"",
                                       "[1,]",
                                       "99999999999999999999",
                                       "\"open",
                                       "\"open\\",
                                       "\x01" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *json = NULL;
        struct xp_err err = { 0 };
        assert_int_equal(jd_parse(bad[i], strlen(bad[i]), &json, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, "line 1, column "));
        assert_null(json);
    }
    AUTO_FREE char *fine = nested(64);
    AUTO_FREE char *deep = nested(65);
    json_t *json = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(jd_parse(fine, strlen(fine), &json, &err), XP_OK);
    json_decref(json);
    assert_int_equal(jd_parse(deep, strlen(deep), &json, &err), XP_INVALID);
    assert_string_equal(err.msg, "JSON, line 1, column 65: nested deeper than 64 levels");
    AUTO_FREE char *in_text = xasprintf("\"\\\"%s\"", deep); /* brackets in a text do not count */
    assert_int_equal(jd_parse(in_text, strlen(in_text), &json, &err), XP_OK);
    json_decref(json);
    /* Found by the hostile documents: 30 MB of "[]," took 4 GB. */
    assert_int_equal(jd_parse_large("[[],[],[]]", 10, 3, &json, &err), XP_TOO_LARGE);
    assert_string_equal(err.msg, "JSON: more than 3 values");
    assert_int_equal(jd_parse("12", 1, &json, &err), XP_OK);
    assert_int_equal(json_integer_value(json), 1);
    json_decref(json);
}

static void bytes_become_texts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *text;
    } rows[] = {
        { "", "" },
        { "plain", "plain" },
        { "\xe9\x9b\x86", "\xe9\x9b\x86" },
        { "a\xff\xe9\x9b\x86\xe9\x9b", "a\\xFF\xe9\x9b\x86\\xE9\\x9B" },
        { "\xc0\x80", "\\xC0\\x80" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_auto_t *json = jd_text(rows[i].bytes);
        assert_string_equal(json_string_value(json), rows[i].text);
    }
    assert_true(json_is_null(jd_text(NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_decoded),
        cmocka_unit_test(null_and_absent_are_the_same),
        cmocka_unit_test(names_match_exactly_then_in_any_case),
        cmocka_unit_test(messages_name_the_path),
        cmocka_unit_test(strict_tables_refuse_unknown_members),
        cmocka_unit_test(texts_have_limits),
        cmocka_unit_test(bytes_become_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
