/* http_text_fuzz.c - small texts of HTTP: ETag lists, request ids, and segments that we encode and decode again.
 * Input: a line, then another text. */
#include <stdio.h>

#include "shared/base/str.h"
#include "shared/net/http_impl.h"
#include "shared/net/http_route.h"
#include "shared/net/url.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

/* What we put into a URL arrives at the other daemon as it was. */
static void check_segment(const char *text)
{
    AUTO_STR struct str url = STR_INIT(1 << 20);
    struct http_path path;
    str_putc(&url, '/');
    url_add_encoded(&url, text);
    xp_check(http_path_parse(url.buf, url.len, &path) == 0);
    if (text[0] == '\0') {
        xp_check(path.count == 0);
    } else {
        xp_check(path.count == 1);
        xp_check(text_is_utf8(text, strlen(text)) ? text_eq(path.segment[0], text)
                                                  : path.wrong[0] != NULL);
    }
    http_path_done(&path);
}

static void check_etag(const char *header, const char *etag)
{
    AUTO_FREE char *list = xasprintf("\"x\", W/%s", etag);
    bool is_plain = etag[0] == '"' && strcspn(etag + 1, "\",*") == strlen(etag) - 2 && etag[1] &&
                    etag[strlen(etag) - 1] == '"';
    (void)http_etag_matches(header, etag);
    if (strlen(etag) > 2 && is_plain) {
        xp_check(http_etag_matches(etag, etag) && http_etag_matches(list, etag));
    }
    xp_check(!http_etag_matches(NULL, etag));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input in = { (const char *)bytes, (const char *)bytes + size };
    AUTO_FREE char *first = fuzz_line(&in);
    size_t length;
    AUTO_FREE char *rest = fuzz_rest(&in, &length);
    AUTO_FREE char *second = xstrndup(rest, length);
    char shown[32];
    if (!first) {
        return 0;
    }
    check_segment(second);
    check_etag(first, second);
    if (http_id_is_valid(second)) {
        xp_check(strlen(second) <= HTTP_ID_MAX && text_is_utf8(second, strlen(second)));
    }
    http_printable(second, strlen(second), shown, sizeof(shown));
    xp_check(strlen(shown) < sizeof(shown) && text_is_utf8(shown, strlen(shown)));
    return 0;
}
