/* switch_diverged.c - see switch_diverged.h. */
#include "meta/primary/switch_diverged.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"
#include "shared/switch/switch_words.h"

#include "shared/base/banned.h"

struct switch_diverged *switch_diverged_find(struct switch_diverged_list *list,
                                             const struct addr *redis, const char *repl_id)
{
    for (size_t i = 0; i < list->count; i++) {
        struct switch_diverged *d = &list->items[i];
        if (addr_eq(&d->redis, redis) && text_eq(d->repl_id, repl_id)) {
            return d;
        }
    }
    return NULL;
}

/* NULL: all are news that the console does not have. */
static struct switch_diverged *place_of(struct switch_diverged_list *list,
                                        const struct switch_diverged *news)
{
    struct switch_diverged *place = switch_diverged_find(list, &news->redis, news->repl_id);
    if (!place && list->count < SWITCH_DIVERGED_MAX) {
        place = &list->items[list->count++];
    }
    for (size_t i = 0; !place && i < list->count; i++) {
        place = list->items[i].is_told ? &list->items[i] : NULL;
    }
    return place;
}

bool switch_diverged_add(struct switch_diverged_list *list, const struct switch_diverged *news)
{
    struct switch_diverged *place = place_of(list, news);
    if (place) {
        *place = *news;
    }
    return place != NULL;
}

bool switch_diverged_forget(struct switch_diverged_list *list, wall_ms before)
{
    size_t count = list->count;
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (!list->items[i].is_told || list->items[i].at >= before) {
            list->items[left++] = list->items[i];
        }
    }
    list->count = left;
    return left != count;
}

/* ---- JSON ---- */

static json_t *number(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *item_json(const struct switch_diverged *d)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:I}", "redis", ADDR_TEXT(&d->redis), "replId",
                     d->repl_id, "offset", number(d->offset), "promotedOffset",
                     number(d->promoted_offset), "bytes", number(d->bytes), "why",
                     diverge_why_text(d->why), "wallMs", (json_int_t)d->at);
}

json_t *switch_diverged_to_json(const struct switch_diverged_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_t *item = item_json(&list->items[i]);
        json_object_set_new(item, "told", json_boolean(list->items[i].is_told));
        json_array_append_new(array, item);
    }
    return array;
}

json_t *switch_diverged_news(const struct switch_diverged *d, const char *dc, const char *cluster,
                             const char *shard)
{
    json_t *json = item_json(d);
    json_object_set_new(json, "dc", jd_text(dc));
    json_object_set_new(json, "cluster", jd_text(cluster));
    json_object_set_new(json, "shard", jd_text(shard));
    json_object_set_new(json, "reason", json_string(diverge_why_means(d->why)));
    return json;
}

static int decode_why(const json_t *value, void *field, struct xp_err *err)
{
    return diverge_why_from_text(json_string_value(value), field)
               ? 0
               : xp_fail(err, XP_INVALID, "it is no word for how a divergence was found");
}

#define ITEM(member) offsetof(struct switch_diverged, member)
/* clang-format off */
static const struct jfield fields[] = {
    { .name = "redis", .type = JF_CUSTOM, .offset = ITEM(redis), .flags = JF_REQUIRED, .decode = switch_words_decode_addr },
    { .name = "replId", .type = JF_CUSTOM, .offset = ITEM(repl_id), .flags = JF_REQUIRED, .decode = switch_words_decode_repl_id },
    { .name = "offset", .type = JF_INT64, .offset = ITEM(offset) },
    { .name = "promotedOffset", .type = JF_INT64, .offset = ITEM(promoted_offset) },
    { .name = "bytes", .type = JF_INT64, .offset = ITEM(bytes) },
    { .name = "why", .type = JF_CUSTOM, .offset = ITEM(why), .flags = JF_REQUIRED, .decode = decode_why },
    { .name = "told", .type = JF_BOOL, .offset = ITEM(is_told) },
    { .name = "wallMs", .type = JF_INT64, .offset = ITEM(at) },
    { 0 },
};
/* clang-format on */

static bool read_item(const json_t *value, struct switch_diverged *ret)
{
    struct switch_diverged d = { .offset = -1, .promoted_offset = -1, .bytes = -1 };
    struct xp_err ignored;
    bool is_good = jd_object(value, fields, &d, &ignored) == 0 && !addr_is_none(&d.redis);
    if (is_good) {
        *ret = d;
    }
    return is_good;
}

int switch_diverged_decode(const json_t *value, void *ret_list, struct xp_err *err)
{
    struct switch_diverged_list list = { 0 };
    (void)err;
    for (size_t i = 0; i < json_array_size(value); i++) {
        bool has_room = list.count < SWITCH_DIVERGED_MAX;
        if (has_room && read_item(json_array_get(value, i), &list.items[list.count])) {
            list.count++;
        } else {
            list.left_out++;
        }
    }
    list.left_out += !json_is_array(value);
    *(struct switch_diverged_list *)ret_list = list;
    return 0;
}
