/* redis_answer.c - see redis_answer.h. */
#include "shared/switch/redis_answer.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- INFO ---- */

struct line {
    const char *text; /* what is behind the name */
    size_t length;
};

static bool line_is(struct line line, const char *name, struct line *ret_value)
{
    size_t skip = strlen(name);
    if (line.length < skip || memcmp(line.text, name, skip) != 0) {
        return false;
    }
    *ret_value = (struct line){ line.text + skip, line.length - skip };
    return true;
}

static void take_number(struct line line, const char *name, int64_t *ret_number)
{
    struct line value;
    if (line_is(line, name, &value)) {
        (void)text_to_i64(value.text, value.length, 0, INT64_MAX, ret_number);
    }
}

static void take_id(struct line line, const char *name, char *ret_id)
{
    struct line value;
    if (line_is(line, name, &value) && value.length < REPL_ID_SIZE) {
        memset(ret_id, 0, REPL_ID_SIZE);
        memcpy(ret_id, value.text, value.length);
    }
}

/* "slave0:ip=..,port=..,state=online,offset=123,lag=0" */
static void take_replica(struct line line, struct redis_replication *ret)
{
    struct line value;
    if (!line_is(line, "slave", &value) || value.length == 0 || value.text[0] < '0' ||
        value.text[0] > '9') {
        return;
    }
    AUTO_FREE char *text = xstrndup(value.text, value.length);
    const char *offset = strstr(text, ",offset=");
    int64_t number = -1;
    if (!strstr(text, ",state=online,") || !offset) {
        return;
    }
    offset += strlen(",offset=");
    (void)text_to_i64(offset, strcspn(offset, ","), 0, INT64_MAX, &number);
    ret->replicas++;
    if (ret->replicas == 1 || number < ret->min_replica_offset) {
        ret->min_replica_offset = number;
    }
}

void redis_answer_replication(const struct rreply *reply, struct redis_replication *ret)
{
    size_t length = 0;
    const char *text = rreply_text(reply, &length);
    AUTO_FREE char *copy = xstrndup(text, length);
    const char *cursor = copy;
    struct line line;
    *ret = (struct redis_replication){ .own_offset = -1,
                                       .followed_offset = -1,
                                       .second_offset = -1,
                                       .priority = -1,
                                       .backlog_active = -1,
                                       .backlog_bytes = -1,
                                       .min_replica_offset = -1 };
    while (text_next_part(&cursor, "\r\n", &line.text, &line.length)) {
        take_id(line, "master_replid:", ret->repl_id);
        take_id(line, "master_replid2:", ret->repl_id2);
        take_number(line, "master_repl_offset:", &ret->own_offset);
        take_number(line, "slave_repl_offset:", &ret->followed_offset);
        take_number(line, "second_repl_offset:", &ret->second_offset);
        take_number(line, "slave_priority:", &ret->priority);
        take_number(line, "repl_backlog_active:", &ret->backlog_active);
        take_number(line, "repl_backlog_size:", &ret->backlog_bytes);
        take_replica(line, ret);
    }
}

bool redis_answer_has_no_file(const struct rreply *reply)
{
    const char *line = strstr(rreply_text(reply, NULL), "config_file:");
    return line && strcspn(line + strlen("config_file:"), "\r\n") == 0;
}

/* ---- CONFIG GET ---- */

static int64_t number_of(const struct rreply *reply)
{
    size_t length = 0;
    const char *text = rreply_text(reply, &length);
    int64_t value = -1;
    (void)text_to_i64(text, length, 0, INT64_MAX, &value);
    return value;
}

void redis_answer_settings(const struct rreply *reply, struct redis_settings *ret)
{
    *ret = (struct redis_settings){ .min_slaves = -1, .max_lag_s = -1, .is_read_only = true };
    for (size_t i = 0; i + 1 < rreply_count(reply); i += 2) {
        const char *name = rreply_text(rreply_at(reply, i), NULL);
        const struct rreply *value = rreply_at(reply, i + 1);
        if (text_eq(name, SETTING_MIN_SLAVES)) {
            ret->min_slaves = number_of(value);
        } else if (text_eq(name, SETTING_MAX_LAG)) {
            ret->max_lag_s = number_of(value);
        } else if (text_eq(name, SETTING_READ_ONLY)) {
            ret->has_read_only = true;
            ret->is_read_only = !rreply_is(value, "no");
        }
    }
}

/* ---- a refusal ---- */

void redis_answer_error(const struct rreply *reply, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s", rreply_text(reply, NULL));
    for (char *c = ret_text; *c; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7F ? ' ' : *c;
    }
}
