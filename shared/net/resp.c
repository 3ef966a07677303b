/* resp.c - see resp.h. */
#include "shared/net/resp.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define ELEMENT_MIN_BYTES 3 /* "+\r\n" */

struct resp_reader {
    redisReader *reader;
    redisReplyObjectFunctions functions; /* hiredis' own, but for arrays */
    void *(*make_array)(const redisReadTask *, int);
    size_t reply_max_bytes;
    size_t reply_bytes; /* fed, and not part of a returned reply */
    bool is_array_too_large;
};

static size_t word_length(const char *const *argv, const size_t *lengths, size_t i)
{
    return lengths ? lengths[i] : strlen(argv[i]);
}

static size_t digit_count(size_t value)
{
    size_t digits = 1;
    for (; value >= 10; value /= 10) {
        digits++;
    }
    return digits;
}

size_t resp_command_size(size_t argc, const char *const *argv, const size_t *lengths)
{
    size_t size = 1 + digit_count(argc) + 2;
    for (size_t i = 0; i < argc; i++) {
        size_t length = word_length(argv, lengths, i);
        size += 1 + digit_count(length) + 2 + length + 2;
    }
    return size;
}

/* By hand: this runs for every poll, and printf would cost more than all the rest. */
static void add_head(struct str *out, char kind, size_t value)
{
    char text[24];
    size_t at = sizeof(text);
    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    text[--at] = kind;
    str_add(out, text + at, sizeof(text) - at);
}

void resp_command_add(struct str *out, size_t argc, const char *const *argv, const size_t *lengths)
{
    add_head(out, '*', argc);
    for (size_t i = 0; i < argc; i++) {
        size_t length = word_length(argv, lengths, i);
        add_head(out, '$', length);
        str_add(out, argv[i], length);
        str_add(out, "\r\n", 2);
    }
}

/* hiredis allocates an array by its announced size and aborts when that fails: refuse before. */
static void *make_array_checked(const redisReadTask *task, int elements)
{
    struct resp_reader *r = task->privdata;
    if (elements > 0 && (size_t)elements > r->reply_max_bytes / ELEMENT_MIN_BYTES) {
        r->is_array_too_large = true;
        return NULL; /* the reader reports it as "out of memory" */
    }
    return r->make_array(task, elements);
}

struct resp_reader *resp_reader_new(size_t reply_max_bytes)
{
    xp_check(reply_max_bytes >= 1024);
    struct resp_reader *r = xcalloc(1, sizeof(*r));
    r->reader = redisReaderCreate();
    xp_check(r->reader != NULL);
    r->functions = *r->reader->fn;
    r->make_array = r->functions.createArray;
    r->functions.createArray = make_array_checked;
    r->reader->fn = &r->functions;
    r->reader->privdata = r;
    r->reply_max_bytes = reply_max_bytes;
    return r;
}

void resp_reader_free(struct resp_reader *r)
{
    if (r) {
        redisReaderFree(r->reader);
        free(r);
    }
}

void resp_reader_feed(struct resp_reader *r, const char *bytes, size_t length)
{
    (void)redisReaderFeed(r->reader, bytes,
                          length); /* an error sticks and shows in resp_reader_next */
    r->reply_bytes += length;
}

static int fail_too_large(const struct resp_reader *r, struct xp_err *err)
{
    return xp_fail(err, XP_TOO_LARGE, "the reply is larger than %zu bytes", r->reply_max_bytes);
}

int resp_reader_next(struct resp_reader *r, struct rreply **ret_reply, struct xp_err *err)
{
    void *reply = NULL;
    if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
        return r->is_array_too_large
                   ? fail_too_large(r, err)
                   : xp_fail(err, XP_IO, "not the Redis protocol: %s", r->reader->errstr);
    }
    size_t unparsed_bytes = r->reader->len - r->reader->pos;
    size_t this_bytes = reply ? r->reply_bytes - unparsed_bytes : r->reply_bytes;
    if (this_bytes > r->reply_max_bytes) {
        if (reply) {
            freeReplyObject(reply);
        }
        return fail_too_large(r, err);
    }
    if (!reply) {
        return RESP_INCOMPLETE;
    }
    r->reply_bytes = unparsed_bytes;
    *ret_reply = reply;
    return RESP_REPLY;
}

bool resp_reader_is_idle(const struct resp_reader *r)
{
    return r->reply_bytes == 0 && r->reader->err == 0;
}
