/* redis_server_info.c - `INFO server` and the versions of CRDT Redis (see crdt_info.h). */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/crdt/crdt_info.h"
#include "shared/crdt/info_lines.h"

#include <limits.h>

#include "shared/base/banned.h"

/* Copies as much as fits; false when the text was cut. */
static bool copy_value(const struct info_line *line, char *buf, size_t size)
{
    bool fits = line->value_length < size;
    size_t length = fits ? line->value_length : size - 1;
    memcpy(buf, line->value, length);
    buf[length] = '\0';
    return fits;
}

/* True for exactly a.b.c. */
static bool parse_parts(const char *text, size_t length, int part[3])
{
    const char *end = text + length;
    for (int i = 0; i < 3; i++) {
        const char *dot = i < 2 ? memchr(text, '.', (size_t)(end - text)) : end;
        int64_t value = 0;
        if (!dot || !text_to_i64(text, (size_t)(dot - text), 0, INT_MAX, &value)) {
            return false;
        }
        part[i] = (int)value;
        text = dot < end ? dot + 1 : end;
    }
    return true;
}

static void set_version(const struct info_line *line, struct crdt_version *version)
{
    *version = (struct crdt_version){ .present = line->value_length > 0 };
    bool fits = copy_value(line, version->text, sizeof(version->text));
    int part[3];
    version->odd =
        version->present && !(fits && parse_parts(line->value, line->value_length, part));
    if (version->present && !version->odd) {
        memcpy(version->part, part, sizeof(part));
    }
}

void redis_server_info_parse(const char *text, size_t length, struct redis_server_info *ret_info)
{
    *ret_info = (struct redis_server_info){ .uptime_s = -1 };
    struct info_lines lines = { text, text ? text + length : NULL };
    struct info_line line;
    while (info_lines_next(&lines, &line)) {
        if (INFO_IS(line.key, line.key_length, "xredis_crdt_version")) {
            set_version(&line, &ret_info->version);
        } else if (INFO_IS(line.key, line.key_length, "redis_version")) {
            (void)copy_value(&line, ret_info->redis_version, sizeof(ret_info->redis_version));
        } else if (INFO_IS(line.key, line.key_length, "run_id")) {
            (void)copy_value(&line, ret_info->run_id, sizeof(ret_info->run_id));
        } else if (INFO_IS(line.key, line.key_length, "uptime_in_seconds")) {
            (void)text_to_i64(line.value, line.value_length, 0, INT64_MAX, &ret_info->uptime_s);
        }
    }
}

int crdt_version_cmp(const struct crdt_version *version, int a, int b, int c)
{
    if (!version->present || version->odd) {
        return -1;
    }
    const int other[3] = { a, b, c };
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        if (version->part[i] != other[i]) {
            return version->part[i] < other[i] ? -1 : 1;
        }
    }
    return 0;
}

bool crdt_version_has_peerof(const struct crdt_version *version)
{
    return crdt_version_cmp(version, 1, 0, 4) >= 0;
}

bool crdt_version_has_proxy(const struct crdt_version *version)
{
    return crdt_version_cmp(version, 1, 0, 15) >= 0;
}

bool crdt_version_may_answer_twice(const struct crdt_version *version)
{
    return crdt_version_cmp(version, 1, 0, 13) >= 0 && crdt_version_cmp(version, 1, 0, 14) <= 0;
}
