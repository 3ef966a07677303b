/* names.c - lists of names, as in "jq,oy" (see dc_meta.h). */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/dc_meta.h"

#include <string.h>

#include "shared/base/banned.h"

void names_done(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i]);
    }
    free(names->items);
    *names = (struct names){ 0 };
}

bool names_has(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (text_eq(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

static size_t count_parts(const char *comma_list)
{
    size_t count = 1;
    for (const char *p = comma_list; p && *p; p++) {
        count += *p == ',';
    }
    return count;
}

struct names names_split(const char *comma_list)
{
    struct names names = { .items = xcalloc(count_parts(comma_list), sizeof(char *)) };
    const char *cursor = comma_list;
    const char *part = NULL;
    size_t length = 0;
    while (text_next_part(&cursor, ",", &part, &length)) {
        names.items[names.count++] = xstrndup(part, length);
    }
    return names;
}
