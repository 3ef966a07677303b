/* http_resp.c - filling an answer: the setters that handlers use. See http_server.h. */
#include "shared/net/http_server.h"
#include "shared/base/mem.h"

#include <string.h>

#include "shared/base/banned.h"

static void set_body(struct http_resp *resp, struct blob *take_body)
{
    blob_unref(resp->body);
    resp->body = take_body;
    if (resp->status == 0) {
        resp->status = 200;
    }
}

void http_resp_json(struct http_resp *resp, json_t *take_value)
{
    char *text =
        take_value ? json_dumps(take_value, JSON_COMPACT | JSON_ENCODE_ANY) : xstrdup("null");
    xp_check(text != NULL); /* out of memory, or a value that contains itself */
    json_decref(take_value);
    set_body(resp, blob_new(text, strlen(text)));
}

void http_resp_text(struct http_resp *resp, int status, const char *content_type, const char *text)
{
    char *copy = xstrdup(text ? text : "");
    set_body(resp, blob_new(copy, strlen(copy)));
    resp->status = status;
    resp->content_type = content_type;
}

void http_resp_blob(struct http_resp *resp, struct blob *take_body)
{
    set_body(resp, take_body);
}

void http_resp_header(struct http_resp *resp, const char *name, const char *value)
{
    size_t i = 0;
    while (i < ARRAY_LEN(resp->extra) && resp->extra[i][0] &&
           !text_eq_nocase(resp->extra[i][0], name)) {
        i++;
    }
    xp_check(i <
             ARRAY_LEN(resp->extra)); /* a handler that needs more headers needs a larger array */
    free(resp->extra[i][0]);
    free(resp->extra[i][1]);
    resp->extra[i][0] = xstrdup(name);
    resp->extra[i][1] = xstrdup(value ? value : "");
}

void http_resp_done(struct http_resp *resp)
{
    blob_unref(resp->body);
    free(resp->etag);
    for (size_t i = 0; i < ARRAY_LEN(resp->extra); i++) {
        free(resp->extra[i][0]);
        free(resp->extra[i][1]);
    }
    *resp = (struct http_resp){ 0 };
}
