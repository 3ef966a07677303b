/* http_framing.c - is there one way only to read where this request ends and what its header says?
 *
 * A proxy and we must cut a connection into the same requests, or a client can hide one request in the body of another
 * (request smuggling). libmicrohttpd resolves what is ambiguous, each case in its own way; so whatever another program
 * could read differently is refused, and the connection is closed (RFC 9112, 6.1 and 6.3). Pure. */
#include "shared/net/http_impl.h"

#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

bool http_name_is_token(const char *name, size_t length)
{
    static const char more[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && !memchr(more, c, sizeof(more) - 1)) {
            return false;
        }
    }
    return length > 0;
}

bool http_value_is_plain(const char *value, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < ' ' && c != '\t') || c == 0x7F) {
            return false;
        }
    }
    return true;
}

static int count_of(const struct http_req *req, const char *name)
{
    int count = 0;
    for (size_t i = 0; i < req->header_count; i++) {
        count += text_eq_nocase(req->headers[i].name, name);
    }
    return count;
}

/* libmicrohttpd 0.9.75 appends the second line of a folded header to the NAME of the first: "Transfer-Encoding:\r\n chunked"
 * comes as "Transfer-Encodingchunked". A proxy that unfolds it sees a chunked body where we see none. */
static int check_folded(const struct http_req *req, struct xp_err *err)
{
    static const char *const names[] = { "Content-Length", "Transfer-Encoding" };
    for (size_t i = 0; i < req->header_count; i++) {
        for (size_t n = 0; n < ARRAY_LEN(names); n++) {
            const char *name = req->headers[i].name;
            size_t length = strlen(names[n]);
            if (strncasecmp(name, names[n], length) == 0 && name[length] != '\0') {
                return xp_fail(err, XP_INVALID, "header %s: folded over two lines, or unknown",
                               names[n]);
            }
        }
    }
    return 0;
}

static int check_transfer_encoding(const struct http_req *req, const char *version,
                                   struct xp_err *err)
{
    const char *value = http_req_header(req, "Transfer-Encoding");
    if (!value) {
        return 0;
    }
    if (count_of(req, "Transfer-Encoding") > 1 || !text_eq_nocase(value, "chunked")) {
        return xp_fail(err, XP_INVALID, "Transfer-Encoding: only 'chunked' is understood");
    }
    if (!text_eq(version, "HTTP/1.1")) {
        return xp_fail(err, XP_INVALID, "Transfer-Encoding: not in %.16s", version);
    }
    if (http_req_header(req, "Content-Length")) {
        return xp_fail(err, XP_INVALID, "Transfer-Encoding and Content-Length exclude each other");
    }
    return 0;
}

int http_framing_check(const struct http_req *req, const char *version, struct xp_err *err)
{
    static const char *const once[] = { "Content-Length", "Host" };
    if (req->header_problem) {
        return xp_fail(err, XP_INVALID, "%s", req->header_problem);
    }
    for (size_t i = 0; i < ARRAY_LEN(once); i++) {
        if (count_of(req, once[i]) > 1) {
            return xp_fail(err, XP_INVALID, "header %s appears more than once", once[i]);
        }
    }
    int rc = check_folded(req, err);
    return rc == 0 ? check_transfer_encoding(req, version, err) : rc;
}
