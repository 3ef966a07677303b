/* dc_document_golden.c - what metaservers read, after recorded calls on an empty console.
 *
 * Input: {"calls": [[METHOD, PATH, body or null]...], "read": [PATH...]}. Every call must succeed. Output: each document
 * read, indented, with times and the hash in the ETag
 * replaced (they differ from run to run). */
#include "tests/golden/golden.h"

#include "tests/unit/console_fixture.h"

#include "shared/base/banned.h"

static void hide_times(json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;
    if (json_is_array(value)) {
        json_array_foreach (value, i, member) {
            hide_times(member);
        }
        return;
    }
    void *next;
    json_object_foreach_safe(value, next, key, member)
    {
        if (text_eq(key, "createTime") || text_eq(key, "lastModifiedTime")) {
            json_object_set_new(value, key, json_string("<time>"));
        } else {
            hide_times(member);
        }
    }
}

static int run_call(struct fixture *f, const json_t *item, struct xp_err *err)
{
    json_t *body = json_array_get(item, 2);
    char *text AUTO_FREE =
        json_is_null(body) ? NULL : json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    const char *method = json_string_value(json_array_get(item, 0));
    const char *path = json_string_value(json_array_get(item, 1));
    if (!method || !path) {
        return xp_fail(err, XP_INVALID, "a call is [METHOD, PATH, body]");
    }
    struct reply r CLEANUP(reply_done) = call(f, method, path, text);
    if (r.status != 200 || !strstr(r.body, "\"state\":0")) {
        return xp_fail(err, XP_INVALID, "%s %s: %d %s", method, path, r.status, r.body);
    }
    return 0;
}

static int show(struct fixture *f, const char *path, struct str *out, struct xp_err *err)
{
    struct reply r CLEANUP(reply_done) = call(f, "GET", path, NULL);
    json_auto_t *document = json_loads(r.body, JSON_DECODE_ANY, NULL);
    if (r.status != 200 || !document) {
        return xp_fail(err, XP_INVALID, "%s: %d %s", path, r.status, r.body);
    }
    hide_times(document);
    char *text AUTO_FREE = json_dumps(document, JSON_INDENT(1) | JSON_ENCODE_ANY);
    /* "<dc>-<version>-<hash of the bytes, times included>": the hash differs with the times. */
    const char *hash = r.etag ? strrchr(r.etag, '-') : NULL;
    if (r.etag && (!hash || strlen(hash) != strlen("-0123456789abcdef\""))) {
        return xp_fail(err, XP_INVALID, "%s: ETag is %s", path, r.etag);
    }
    str_printf(out, "GET %s  ETag %.*s%s\n%s\n", path, (int)(hash ? hash - r.etag : 4),
               r.etag ? r.etag : "none", hash ? "-<hash>\"" : "", text);
    return 0;
}

static int run(struct fixture *f, const json_t *input, struct str *out, struct xp_err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(input, "calls"), i, item) {
        if (run_call(f, item, err) < 0) {
            return xp_wrap(err, "calls[%zu]", i);
        }
    }
    json_array_foreach (json_object_get(input, "read"), i, item) {
        if (show(f, json_string_value(item), out, err) < 0) {
            return err->code;
        }
    }
    return 0;
}

static int document_golden(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_auto_t *json = NULL;
    if (jd_parse(input, length, &json, err) < 0) {
        return err->code;
    }
    struct fixture f;
    fixture_open(&f);
    int rc = run(&f, json, out, err);
    fixture_close(&f);
    return rc;
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/dc_document", document_golden);
}
