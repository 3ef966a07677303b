/* meta_codec.h - what the codecs of dc_meta.h share. Internal to shared/model.
 *
 * The decode functions are callbacks of JF_CUSTOM rows: 'value' may be NULL where the row says JF_SEE_ABSENT.
 * The tables describe lists whose elements others embed. Thread: any. */
#ifndef SHARED_MODEL_META_CODEC_H
#define SHARED_MODEL_META_CODEC_H

#include "shared/model/dc_meta.h"
#include "shared/model/json_decode.h"

/* char[ADDR_HOST_MAX + 1] of a struct addr. */
int meta_decode_host(const json_t *value, void *field, struct xp_err *err);
/* char *: a DC name in lower case; the empty text gives NULL. */
int meta_decode_dc_or_none(const json_t *value, void *field, struct xp_err *err);

extern const struct jfield meta_redis_fields[];  /* struct redis_meta; jd_done frees one */
extern const struct jfield meta_keeper_fields[]; /* struct keeper_meta; jd_done frees one */

/* The body of an answer about one instance. Empty or null is XP_NOT_FOUND. Returns owned. */
int meta_parse_one(const char *text, size_t length, const char *what, json_t **ret_json,
                   struct xp_err *err) XP_MUST_CHECK;

/* A cluster of a document, under the member name 'key' (NULL: it stands alone and must have an id). */
int cluster_meta_decode(const json_t *value, const char *key, struct cluster_meta **ret_meta,
                        struct xp_err *err) XP_MUST_CHECK;
/* The stand-in for a cluster that cannot be decoded: name, dbId where readable, and the problem. Returns owned. */
struct cluster_meta *cluster_meta_unusable(const json_t *value, const char *key,
                                           const char *problem);

json_t *meta_redis_to_json(const struct redis_meta *);
json_t *meta_number_or_null(int64_t value); /* 0 gives null */

#endif
