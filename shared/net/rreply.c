/* rreply.c - see rreply.h. A struct rreply is hiredis' redisReply under another name: no copy, no second tree. */
#include "shared/net/rreply.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "shared/base/err.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

static const redisReply *view(const struct rreply *reply)
{
    return (const redisReply *)(const void *)reply;
}

static bool has_text(const redisReply *r)
{
    return r && r->str &&
           (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ||
            r->type == REDIS_REPLY_ERROR);
}

enum rreply_type rreply_type(const struct rreply *reply)
{
    switch (view(reply)->type) {
    case REDIS_REPLY_STATUS:
        return RREPLY_STATUS;
    case REDIS_REPLY_ERROR:
        return RREPLY_ERROR;
    case REDIS_REPLY_INTEGER:
        return RREPLY_INTEGER;
    case REDIS_REPLY_STRING:
        return RREPLY_BULK;
    case REDIS_REPLY_ARRAY:
        return RREPLY_ARRAY;
    default:
        return RREPLY_NIL;
    }
}

const char *rreply_text(const struct rreply *reply, size_t *ret_length)
{
    const redisReply *r = view(reply);
    bool is_text = has_text(r);
    if (ret_length) {
        *ret_length = is_text ? r->len : 0;
    }
    return is_text ? r->str : "";
}

bool rreply_is(const struct rreply *reply, const char *word)
{
    size_t length = 0;
    const char *text = rreply_text(reply, &length);
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

int64_t rreply_integer(const struct rreply *reply)
{
    const redisReply *r = view(reply);
    return r && r->type == REDIS_REPLY_INTEGER ? r->integer : 0;
}

size_t rreply_count(const struct rreply *reply)
{
    const redisReply *r = view(reply);
    return r && r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
}

const struct rreply *rreply_at(const struct rreply *reply, size_t index)
{
    if (index >= rreply_count(reply)) {
        return NULL;
    }
    return (const struct rreply *)(const void *)view(reply)->element[index];
}

bool rreply_is_error(const struct rreply *reply)
{
    return !reply || view(reply)->type == REDIS_REPLY_ERROR;
}

bool rreply_first_word_is(const struct rreply *reply, const char *word)
{
    const redisReply *r = view(reply);
    size_t length = strlen(word);
    if (!has_text(r) || r->type == REDIS_REPLY_ERROR || r->len < length) {
        return false;
    }
    return memcmp(r->str, word, length) == 0 &&
           (r->len == length || strchr(" \r\n\t", r->str[length]));
}

static int hiredis_type(enum rreply_type type)
{
    switch (type) {
    case RREPLY_STATUS:
        return REDIS_REPLY_STATUS;
    case RREPLY_ERROR:
        return REDIS_REPLY_ERROR;
    case RREPLY_INTEGER:
        return REDIS_REPLY_INTEGER;
    case RREPLY_BULK:
        return REDIS_REPLY_STRING;
    case RREPLY_ARRAY:
        return REDIS_REPLY_ARRAY;
    case RREPLY_NIL:
        return REDIS_REPLY_NIL;
    }
    return REDIS_REPLY_NIL;
}

static redisReply *make(int type)
{
    redisReply *r = xcalloc(1, sizeof(*r)); /* calloc, as freeReplyObject expects */
    r->type = type;
    return r;
}

struct rreply *rreply_new_text(enum rreply_type type, const char *text, size_t length)
{
    xp_check(type != RREPLY_INTEGER && type != RREPLY_ARRAY);
    redisReply *r = make(hiredis_type(type));
    if (type != RREPLY_NIL) {
        r->str = xstrndup(text, length);
        r->len = length;
    }
    return (struct rreply *)(void *)r;
}

struct rreply *rreply_new_integer(int64_t value)
{
    redisReply *r = make(REDIS_REPLY_INTEGER);
    r->integer = value;
    return (struct rreply *)(void *)r;
}

struct rreply *rreply_new_array(struct rreply *const *elements, size_t count)
{
    redisReply *r = make(REDIS_REPLY_ARRAY);
    r->elements = count;
    r->element = xcalloc(count, sizeof(*r->element));
    for (size_t i = 0; i < count; i++) {
        r->element[i] = (redisReply *)(void *)elements[i];
    }
    return (struct rreply *)(void *)r;
}

void rreply_free(struct rreply *reply)
{
    freeReplyObject(reply); /* NULL is fine there */
}
