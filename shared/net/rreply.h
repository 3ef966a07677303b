/* rreply.h - a Redis reply as read-only tree. It is hiredis' redisReply, uncopied; hiredis itself is
 * included by rreply.c (this tree) and resp.c (the parser) only.
 * Borrowed from whoever handed it over; never kept. Thread: that of the owner. */
#ifndef SHARED_NET_RREPLY_H
#define SHARED_NET_RREPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rreply_type {
    RREPLY_STATUS,
    RREPLY_ERROR,
    RREPLY_INTEGER,
    RREPLY_BULK,
    RREPLY_NIL,
    RREPLY_ARRAY
};

struct rreply; /* opaque */

/* The readers below accept NULL and then answer as for a reply of another type, except rreply_type. */
enum rreply_type rreply_type(const struct rreply *);
/* Bytes of a status, error or bulk (NUL-terminated, may hold NULs); "" and 0 for other types. */
const char *rreply_text(const struct rreply *, size_t *ret_length /* may be NULL */);
/* A text of exactly this word: a NUL in the reply does not end it. */
bool rreply_is(const struct rreply *, const char *word);
int64_t rreply_integer(const struct rreply *); /* 0 for other types */
size_t rreply_count(const struct rreply *);    /* elements of an array; 0 for other types */
/* NULL out of range */
const struct rreply *rreply_at(const struct rreply *, size_t index);
bool rreply_is_error(const struct rreply *); /* NULL counts as an error */
/* A status or bulk whose first word is 'word' (case matters): how success of OK-commands is tested. */
bool rreply_first_word_is(const struct rreply *, const char *word);

/* Replies built by hand, for unit tests and the simulation. Takes nothing, copies all. Free with rreply_free. */
/* Status, error, bulk or nil. */
struct rreply *rreply_new_text(enum rreply_type type, const char *text, size_t length);
struct rreply *rreply_new_integer(int64_t value);
/* takes the elements */
struct rreply *rreply_new_array(struct rreply *const *elements, size_t count);
void rreply_free(struct rreply *); /* NULL is fine */

#endif
