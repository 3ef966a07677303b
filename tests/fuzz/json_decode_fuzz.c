/* json_decode_fuzz.c - decode tables with every field type, and texts for output. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct part {
    char *name;
    int port;
};

struct whole {
    char *text;
    char *dc;
    char *host;
    bool flag;
    int32_t small;
    int64_t id;
    struct part inner;
    struct {
        struct part *items;
        size_t count;
    } list, map;
    struct {
        char **items;
        size_t count;
    } texts;
};

#define WHOLE(member) offsetof(struct whole, member)
/* clang-format off */
static const struct jfield part_fields[] = {
    { .name = "name", .type = JF_NAME, .offset = offsetof(struct part, name), .flags = JF_KEY },
    { .name = "port", .type = JF_PORT, .offset = offsetof(struct part, port), .flags = JF_REQUIRED },
    { 0 },
};
static const struct jfield whole_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "text", .type = JF_STRING, .offset = WHOLE(text) },
    { .name = "dc", .type = JF_DC, .offset = WHOLE(dc) },
    { .name = "host", .type = JF_HOST, .offset = WHOLE(host) },
    { .name = "flag", .type = JF_BOOL, .offset = WHOLE(flag) },
    { .name = "small", .type = JF_INT32, .offset = WHOLE(small) },
    { .name = "id", .type = JF_ID, .offset = WHOLE(id), .flags = JF_INT_AS_TEXT },
    { .name = "inner", .type = JF_OBJECT, .offset = WHOLE(inner), .sub = part_fields },
    { .name = "list", .type = JF_ARRAY, .offset = WHOLE(list), .sub = part_fields, .elem_size = sizeof(struct part) },
    { .name = "map", .type = JF_MAP, .offset = WHOLE(map), .sub = part_fields, .elem_size = sizeof(struct part) },
    { .name = "texts", .type = JF_STRINGS, .offset = WHOLE(texts) },
    { 0 },
};
/* clang-format on */

static void text_for_output(const uint8_t *bytes, size_t size)
{
    char *text = strndup((const char *)bytes, size);
    json_t *json = jd_text(text);
    if (!json_is_string(json)) {
        abort();
    }
    json_decref(json);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    json_t *json = NULL;
    struct xp_err err;
    text_for_output(bytes, size);
    if (jd_parse((const char *)bytes, size, &json, &err)) {
        return 0;
    }
    struct whole whole = { 0 };
    int rc = jd_object(json, whole_fields, &whole, &err);
    if (rc != 0 && err.msg[0] == '\0') {
        abort(); /* a refusal says why */
    }
    jd_done(whole_fields, &whole);
    json_decref(json);
    return 0;
}
