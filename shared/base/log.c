/* log.c - see log.h.
 *
 * No lock is held while writing: each line is one write(2) to a descriptor whose number never
 * changes. Opening or reopening a file puts it behind the same number (dup3), so a writer cannot
 * meet a closed one. */
#include "shared/base/log.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/banned.h"

#define LINE_MAX_BYTES  16000
#define VALUE_MAX_BYTES 1000
#define RING_SLOTS      16
#define RING_BYTES      1024

static const char *const level_texts[LOG_LEVELS] = { "debug", "info", "warn", "error" };

#define LINES_HELP "Log lines written, by level"
static struct metric lines_total[LOG_LEVELS] = {
    METRIC_COUNTER_INIT("xpipe_log_lines_total", "level=\"debug\"", LINES_HELP),
    METRIC_COUNTER_INIT("xpipe_log_lines_total", "level=\"info\"", LINES_HELP),
    METRIC_COUNTER_INIT("xpipe_log_lines_total", "level=\"warn\"", LINES_HELP),
    METRIC_COUNTER_INIT("xpipe_log_lines_total", "level=\"error\"", LINES_HELP),
};
static struct metric dropped_total = METRIC_COUNTER_INIT(
    "xpipe_log_lines_dropped_total", "", "Log lines dropped by the rate limit of their call site");
static struct metric failed_total = METRIC_COUNTER_INIT(
    "xpipe_log_write_failures_total", "", "Log lines lost because the output refused them");

static int min_level = LOG_INFO;
static int out_fd = STDERR_FILENO; /* atomic; moves once, from standard error to our own number */

static struct mutex sites_lock = MUTEX_INIT;
static struct mutex path_lock = MUTEX_INIT;
static char *out_path XP_GUARDED_BY(path_lock); /* NULL: standard error */

void log_set_level(enum log_level level)
{
    __atomic_store_n(&min_level, (int)level, __ATOMIC_RELAXED);
}

bool log_level_from_text(const char *text, enum log_level *ret_level)
{
    for (int i = 0; i < LOG_LEVELS; i++) {
        if (text_eq(text, level_texts[i])) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

int64_t log_lines_total(enum log_level level)
{
    return metric_value(&lines_total[level]);
}

/* Puts an open descriptor behind the number that writers use. */
static bool install(int fd)
{
    int current = __atomic_load_n(&out_fd, __ATOMIC_ACQUIRE);
    if (current != STDERR_FILENO) {
        return dup3(fd, current, O_CLOEXEC) >= 0;
    }
    int own = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (own < 0) {
        return false;
    }
    __atomic_store_n(&out_fd, own, __ATOMIC_RELEASE);
    return true;
}

static bool install_path(const char *path)
{
    if (text_is_empty(path)) {
        return __atomic_load_n(&out_fd, __ATOMIC_ACQUIRE) == STDERR_FILENO ||
               install(STDERR_FILENO);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        return false;
    }
    bool done = install(fd);
    (void)close(fd);
    return done;
}

/* Opening a local file is the one I/O under path_lock; writers never take it. */
bool log_open(const char *path)
{
    mutex_lock(&path_lock);
    bool done = install_path(path);
    if (done) {
        free(out_path);
        out_path = text_is_empty(path) ? NULL : xstrdup(path);
    }
    mutex_unlock(&path_lock);
    return done;
}

bool log_reopen(void)
{
    mutex_lock(&path_lock);
    bool done = install_path(out_path);
    mutex_unlock(&path_lock);
    return done;
}

static char *ring_slot(void)
{
    static __thread char ring[RING_SLOTS][RING_BYTES];
    static __thread unsigned next;
    return ring[next++ % RING_SLOTS];
}

const char *log_int(int64_t value)
{
    char *slot = ring_slot();
    (void)snprintf(slot, RING_BYTES, "%lld", (long long)value);
    return slot;
}

const char *log_fmt(const char *fmt, ...)
{
    char *slot = ring_slot();
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(slot, RING_BYTES, fmt, args);
    va_end(args);
    return slot;
}

/* Takes a token. False when there is none; *ret_dropped is what was dropped since the last line. */
static bool may_pass(struct log_site *site, int64_t now, int64_t *ret_dropped)
{
    mutex_lock(&sites_lock);
    const int64_t full = INT64_C(1000) * LOG_BURST;
    int64_t age = site->last_ms == 0 ? full : now - site->last_ms;
    int64_t gain = age < 0 ? 0 : age > full ? full : age;
    int64_t tokens = site->tokens_milli + gain;
    site->tokens_milli = tokens > full ? full : tokens;
    site->last_ms = now == 0 ? 1 : now; /* 0 says "never" */
    bool pass = site->tokens_milli >= 1000;
    if (pass) {
        site->tokens_milli -= 1000;
        *ret_dropped = site->dropped;
        site->dropped = 0;
    } else {
        site->dropped++;
    }
    mutex_unlock(&sites_lock);
    return pass;
}

static bool needs_quotes(const char *value, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7f) {
            return true;
        }
    }
    return length == 0 || !text_is_utf8(value, length);
}

static void add_escaped(struct str *line, unsigned char c, bool is_text)
{
    if (c == '\n') {
        str_puts(line, "\\n");
    } else if (c == '\t') {
        str_puts(line, "\\t");
    } else if (c == '\r') {
        str_puts(line, "\\r");
    } else if (c == '"' || c == '\\') {
        str_printf(line, "\\%c", c);
    } else if (c < ' ' || c == 0x7f || (c >= 0x80 && !is_text)) {
        str_printf(line, "\\x%02x", c);
    } else {
        str_putc(line, (char)c);
    }
}

static void add_value(struct str *line, const char *value)
{
    if (!value) {
        str_putc(line, '-');
        return;
    }
    size_t length = strnlen(value, VALUE_MAX_BYTES + 1);
    bool cut = length > VALUE_MAX_BYTES;
    length = cut ? VALUE_MAX_BYTES : length;
    while (cut && length > VALUE_MAX_BYTES - 4 && ((unsigned char)value[length] & 0xC0) == 0x80) {
        length--; /* not inside a character */
    }
    if (needs_quotes(value, length)) {
        bool is_text = text_is_utf8(value, length);
        str_putc(line, '"');
        for (size_t i = 0; i < length; i++) {
            add_escaped(line, (unsigned char)value[i], is_text);
        }
        str_putc(line, '"');
    } else {
        str_add(line, value, length);
    }
    str_puts(line, cut ? "..." : "");
}

/* The role alone would not tell two workers apart, so the name of the thread is used; the loop's keeps the process name,
 * for ps and pgrep. */
static void add_thread_name(struct str *line)
{
    char name[16] = "";
    bool is_first = gettid() == getpid();
    if (thread_role() == THREAD_LOOP || (thread_role() == THREAD_ANY && is_first)) {
        str_puts(line, thread_role() == THREAD_LOOP ? "loop" : "main");
        return;
    }
    (void)pthread_getname_np(pthread_self(), name, sizeof(name));
    for (char *p = name; *p; p++) {
        if (*p <= ' ') {
            *p = '_';
        }
    }
    str_puts(line, name[0] ? name : "-");
}

static void add_head(struct str *line, enum log_level level, const char *event)
{
    wall_ms now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm = { 0 };
    char stamp[32];
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    str_printf(line, "%s.%03dZ %s ", stamp, (int)(now % 1000), level_texts[level]);
    add_thread_name(line);
    str_printf(line, " %s", event);
}

/* A line that the output refuses is counted, never waited for. */
static bool write_all(const char *bytes, size_t length)
{
    int fd = __atomic_load_n(&out_fd, __ATOMIC_ACQUIRE);
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

static void finish(struct str *line, enum log_level level)
{
    if (line->overflow) {
        line->overflow = false;
        line->max += 16;
        str_puts(line, " cut=true");
    }
    str_putc(line, '\n');
    bool written = write_all(str_text(line), line->len);
    metric_add(written ? &lines_total[level] : &failed_total, 1);
}

void log_write(struct log_site *site, enum log_level level, const char *event, ...)
{
    int64_t dropped = 0;
    if ((int)level < __atomic_load_n(&min_level, __ATOMIC_RELAXED)) {
        return;
    }
    if (!may_pass(site, clock_mono_ms(), &dropped)) {
        metric_add(&dropped_total, 1);
        return;
    }
    AUTO_STR struct str line = STR_INIT(LINE_MAX_BYTES);
    int saved_errno = errno;
    add_head(&line, level, event);
    va_list args;
    va_start(args, event);
    for (const char *key; (key = va_arg(args, const char *)) != NULL;) {
        str_printf(&line, " %s=", key);
        add_value(&line, va_arg(args, const char *));
    }
    va_end(args);
    if (dropped > 0) {
        str_printf(&line, " dropped=%lld", (long long)dropped);
    }
    finish(&line, level);
    errno = saved_errno;
}
