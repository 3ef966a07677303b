/* json_decode.h - from a JSON object to a C struct, by a table of fields.
 *
 * Field types are meanings, not C types. The first problem ends the decoding with the full path of the field:
 * "shards[2].redises[0].port: 70000 is not a port (1..65535)". Unknown members are ignored on the wire (Java
 * peers send more than we read) and refused in strict tables. `null` counts as absent (but JF_NOT_NULL). Member names match
 * exactly, then, for JF_ANY_CASE tables, without regard to ASCII case (x-pipe's own readers do so).
 * After a failure the struct is half filled: the caller frees it with its usual destructor, which every
 * decoded type provides and which accepts half-built objects; start from a zeroed struct.
 * Thread: any. */
#ifndef SHARED_MODEL_JSON_DECODE_H
#define SHARED_MODEL_JSON_DECODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

enum jfield_type {
    JF_STRING, /* char *, owned copy; any text up to max_length bytes (0: 65,535), no NUL, no control characters but TAB, CR, LF */
    JF_NAME,   /* char *, owned: 1..128 bytes, valid UTF-8, no control characters, no '/' */
    JF_DC,     /* char *, owned: as JF_NAME, folded to lower case (D13) */
    JF_HOST,   /* char *, owned: 1..63 bytes, no blanks, no control characters */
    JF_BOOL,   /* bool; JSON true or false */
    JF_INT32,  /* int32_t */
    JF_INT64,  /* int64_t */
    JF_ID,     /* int64_t >= 0 */
    JF_PORT,   /* int, 1..65535 */
    JF_OBJECT, /* embedded struct, 'sub' table */
    JF_ARRAY, /* pointer to owned elements + size_t count right behind it (struct { T *items; size_t count; }); 'sub' table, 'elem_size' */
    JF_MAP, /* as JF_ARRAY, from a JSON object: the member's name goes to the field with flag JF_KEY of the element */
    JF_STRINGS, /* struct { char **items; size_t count; } owned */
    JF_CUSTOM, /* 'decode' callback; what it allocates is not known to jd_done: the owner of the struct frees it */
};

enum {
    JF_REQUIRED = 1,
    JF_KEY = 2,         /* see JF_MAP: taken from the member name when absent in the value */
    JF_INT_AS_TEXT = 4, /* numbers may come as decimal text */
    /* of JF_CUSTOM: the callback is also called when the member is absent or null, with NULL */
    JF_SEE_ABSENT = 8,
    JF_NOT_NULL = 16,  /* null is refused: who writes the member means something by it */
    JF_NOT_EMPTY = 32, /* of JF_STRINGS: so is a list of nothing */
};

struct jfield {
    const char *name;
    enum jfield_type type;
    size_t offset;
    int flags;
    const struct jfield *sub;
    size_t elem_size;
    size_t max_count; /* of array or map; 0: 100,000 */
    size_t max_length;
    int (*decode)(const json_t *value, void *field, struct xp_err *err);
};
/* A table ends with a row whose name is NULL. Its first row may be JF_TABLE(flags). */
enum { JF_TABLE_STRICT = 1, JF_TABLE_ANY_CASE = 2 };
#define JF_TABLE(table_flags)                                                                      \
    {                                                                                              \
        .name = "", .flags = (table_flags)                                                         \
    }

int jd_object(const json_t *value, const struct jfield *table, void *ret_struct,
              struct xp_err *err) XP_MUST_CHECK;
/* Frees everything the table's fields own and zeroes them. */
void jd_done(const struct jfield *table, void *object);

/* Text to JSON with our limits: whole input, nesting <= 64, duplicate keys refused, valid UTF-8, at most JSON_VALUES_MAX values
 * (json_limits.h); the error names line and column. Returns owned (json_decref). */
int jd_parse(const char *text, size_t length, json_t **ret_json, struct xp_err *err) XP_MUST_CHECK;
/* The same with a limit of its own, for whole documents. */
int jd_parse_large(const char *text, size_t length, size_t values_max, json_t **ret_json,
                   struct xp_err *err) XP_MUST_CHECK;

/* What JF_NAME accepts. */
bool jd_is_name(const char *text);

/* A value for output: valid UTF-8 as string, other bytes escaped as \xNN text; NULL gives JSON null. */
json_t *jd_text(const char *text);

/* jansson iterates only over non-const objects; this is the same object, for json_object_foreach, not to be changed. */
json_t *jd_iterable(const json_t *object);

#endif
