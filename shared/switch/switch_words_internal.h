/* switch_words_internal.h - what the codecs of switch_words.h share. Internal to shared/switch.
 *
 * The decode functions are callbacks of JF_CUSTOM rows. Thread: any. */
#ifndef SHARED_SWITCH_SWITCH_WORDS_INTERNAL_H
#define SHARED_SWITCH_SWITCH_WORDS_INTERNAL_H

#include "shared/model/json_decode.h"
#include "shared/switch/switch_words.h"

json_t *words_addr_or_null(const struct addr *);      /* {"host","port"} */
json_t *words_addr_text_or_null(const struct addr *); /* "host:port" */

/* char *: a text for people from a server of unknown kind: control characters become '?', what is over SWITCH_TEXT_MAX is cut. */
#define SWITCH_TEXT_MAX 65536
int words_decode_text(const json_t *value, void *field, struct xp_err *err);

json_t *words_text_or_null(const char *text); /* "" gives null */

/* x-pipe's masterInfo. */
struct words_info {
    bool has_info;
    char repl_id[REPL_ID_SIZE];
    int64_t offset;
};
int words_decode_info(const json_t *value, void *field, struct xp_err *err);
json_t *words_info_or_null(bool has_info, const char *repl_id, int64_t offset);

/* struct fence_saved */
int words_decode_saved(const json_t *value, void *field, struct xp_err *err);
json_t *words_saved_or_null(const struct fence_saved *);

/* enum fence_state */
int words_decode_state(const json_t *value, void *field, struct xp_err *err);

#endif
