/* execution_log.c - see execution_log.h. Lines go to the head until it is full, then to the tail, whose oldest lines make room. */
#include "shared/switch/execution_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/switch/switch_words.h"

#include "shared/base/banned.h"

#define LINE_MAX_BYTES 1024
#define GAP_MAX_BYTES  96 /* the line about what is left out */
#define HALF_MAX_BYTES ((SWITCH_LOG_MAX - GAP_MAX_BYTES) / 2)

struct execution_log {
    struct str head;
    bool is_head_full;
    char *tail; /* HALF_MAX_BYTES */
    size_t tail_length;
    size_t left_out_count; /* lines */
};

static void add_stamp(struct str *s, const char *level)
{
    wall_ms now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm = { 0 };
    char stamp[32] = "";
    (void)localtime_r(&seconds, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    str_printf(s, "[%s][%s.%03d]", level, stamp, (int)(now % 1000));
}

static void tail_drop_line(struct execution_log *l)
{
    const char *end = memchr(l->tail, '\n', l->tail_length);
    size_t length = end ? (size_t)(end - l->tail) + 1 : l->tail_length;
    l->tail_length -= length;
    memmove(l->tail, l->tail + length, l->tail_length);
    l->left_out_count++;
}

static void add_line(struct execution_log *l, const struct str *line)
{
    l->is_head_full = l->is_head_full || l->head.len + line->len > HALF_MAX_BYTES;
    if (!l->is_head_full) {
        str_add(&l->head, line->buf, line->len);
        return;
    }
    if (!l->tail) {
        l->tail = xmalloc(HALF_MAX_BYTES);
    }
    while (l->tail_length + line->len > HALF_MAX_BYTES) {
        tail_drop_line(l);
    }
    memcpy(l->tail + l->tail_length, line->buf, line->len);
    l->tail_length += line->len;
}

/* One line each, whatever the text holds. */
static void clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7F) {
            *text = ' ';
        }
    }
}

static void add(struct execution_log *l, const char *level, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
static void add(struct execution_log *l, const char *level, const char *fmt, va_list args)
{
    char text[LINE_MAX_BYTES - 64];
    struct str line AUTO_STR = STR_INIT(LINE_MAX_BYTES);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    clean(text);
    add_stamp(&line, level);
    str_puts(&line, text);
    str_putc(&line, '\n');
    add_line(l, &line);
}

struct execution_log *execution_log_new(const char *first_line)
{
    struct execution_log *l = xcalloc(1, sizeof(*l));
    l->head = STR_INIT(SWITCH_LOG_MAX);
    if (first_line) {
        execution_log_info(l, "%s", first_line);
    }
    return l;
}

void execution_log_free(struct execution_log *l)
{
    if (!l) {
        return;
    }
    str_done(&l->head);
    free(l->tail);
    free(l);
}

#define ADD(l, level)                                                                              \
    do {                                                                                           \
        va_list args_;                                                                             \
        va_start(args_, fmt);                                                                      \
        add((l), (level), fmt, args_);                                                             \
        va_end(args_);                                                                             \
    } while (0)

void execution_log_info(struct execution_log *l, const char *fmt, ...)
{
    ADD(l, "info");
}

void execution_log_warn(struct execution_log *l, const char *fmt, ...)
{
    ADD(l, "warn");
}

void execution_log_error(struct execution_log *l, const char *fmt, ...)
{
    ADD(l, "error");
}

char *execution_log_take(struct execution_log *l)
{
    if (l->left_out_count > 0) {
        add_stamp(&l->head, "info");
        str_printf(&l->head, "%zu lines left out\n", l->left_out_count);
    }
    str_add(&l->head, l->tail, l->tail_length);
    l->tail_length = 0;
    l->left_out_count = 0;
    l->is_head_full = false;
    return str_take(&l->head);
}
