/* instance_list.c - see instance_list.h. */
#include "console/api/instance_list.h"

#include "shared/base/mem.h"
#include "shared/base/banned.h"

static int decode_one(const json_t *item, struct instance_spec *out, struct xp_err *err)
{
    if (json_is_string(item)) {
        out->addr = json_string_value(item);
        return 0;
    }
    out->addr = json_string_value(json_object_get(item, "addr"));
    out->az = json_string_value(json_object_get(item, "azName"));
    const json_t *master = json_object_get(item, "master");
    if (!out->addr) {
        return xp_fail(err, XP_INVALID, "neither an address nor an object with addr");
    }
    if (master && !json_is_boolean(master) && !json_is_null(master)) {
        return xp_fail(err, XP_INVALID, "master is not true or false");
    }
    out->is_master = json_is_true(master);
    return 0;
}

int instances_decode(const json_t *list, struct instances *ret_list, struct xp_err *err)
{
    if (!list || json_is_null(list)) {
        return 0;
    }
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > INSTANCES_MAX_COUNT) {
        return xp_fail(err, XP_INVALID, "addresses: a JSON array of at most %d is expected",
                       INSTANCES_MAX_COUNT);
    }
    ret_list->items = xcalloc(count + 1, sizeof(*ret_list->items));
    ret_list->count = count;
    for (size_t i = 0; i < count; i++) {
        if (decode_one(json_array_get(list, i), &ret_list->items[i], err) < 0) {
            return xp_wrap(err, "[%zu]", i);
        }
    }
    return 0;
}

void instances_done(struct instances *list)
{
    free(list->items);
    *list = (struct instances){ 0 };
}
