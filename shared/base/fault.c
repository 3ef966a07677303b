/* fault.c - see fault.h. */
#include "shared/base/fault.h"

#if defined(XP_FAULTS) && XP_FAULTS

#include "shared/base/str.h"
#include "shared/base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/banned.h"

#define DELAY_MAX_MS 600000

enum fault_kind { FAULT_NONE, FAULT_ERROR, FAULT_DELAY, FAULT_CRASH };

struct fault {
    enum fault_kind kind;
    int64_t delay_ms;
    int64_t first; /* fires from this call on, counted from 1 */
    int64_t last;  /* and up to this one */
    int64_t calls;
};

#define FAULT_NAME_(name) #name,
static const char *const point_names[FAULT_COUNT] = { FAULT_LIST(FAULT_NAME_) };

static struct mutex faults_lock = MUTEX_INIT;
static struct fault faults[FAULT_COUNT] XP_GUARDED_BY(faults_lock);

static void sleep_ms(int64_t ms)
{
    struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

int fault_hit(enum fault_point point)
{
    mutex_lock(&faults_lock);
    struct fault *f = &faults[point];
    f->calls++;
    struct fault now = *f;
    mutex_unlock(&faults_lock);
    if (now.kind == FAULT_NONE || now.calls < now.first || now.calls > now.last) {
        return 0;
    }
    if (now.kind == FAULT_CRASH) {
        (void)fprintf(stderr, "fault point %s: crash as asked\n", point_names[point]);
        abort();
    }
    if (now.kind == FAULT_DELAY) {
        sleep_ms(now.delay_ms);
        return 0;
    }
    return 1;
}

static int point_from_name(const char *name, size_t length, enum fault_point *ret_point)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (strlen(point_names[i]) == length && memcmp(point_names[i], name, length) == 0) {
            *ret_point = (enum fault_point)i;
            return 0;
        }
    }
    return XP_NOT_FOUND;
}

/* Takes "<text>:NUMBER" or "<text>@NUMBER" apart. False when the mark is there and the number is
 * bad. */
static bool cut_number(const char *text, size_t *length, char mark, int64_t max, int64_t *ret_value)
{
    const char *at = memchr(text, mark, *length);
    if (!at) {
        return true;
    }
    size_t head = (size_t)(at - text);
    if (!text_to_i64(at + 1, *length - head - 1, 1, max, ret_value)) {
        return false;
    }
    *length = head;
    return true;
}

static bool word_is(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* "kind[:arg][@N]"; false when it is malformed. */
static bool fault_from_text(const char *text, size_t length, struct fault *ret_fault)
{
    struct fault f = { .first = 1, .last = INT64_MAX };
    int64_t nth = 0;
    int64_t arg = 0;
    if (!cut_number(text, &length, '@', INT32_MAX, &nth) ||
        !cut_number(text, &length, ':', DELAY_MAX_MS, &arg)) {
        return false;
    }
    if (word_is(text, length, "error")) {
        f.kind = FAULT_ERROR;
    } else if (word_is(text, length, "crash") && arg == 0) {
        f.kind = FAULT_CRASH;
    } else if (word_is(text, length, "delay") && arg > 0) {
        f.kind = FAULT_DELAY;
        f.delay_ms = arg;
    } else {
        return false;
    }
    if (nth > 0) {
        f.first = nth;
        f.last = nth;
    }
    if (f.kind == FAULT_ERROR && arg > 0) {
        f.last = f.first + arg - 1;
    }
    *ret_fault = f;
    return true;
}

static int parse_one(const char *part, size_t length, struct fault *wanted, struct xp_err *err)
{
    const char *eq = memchr(part, '=', length);
    size_t name_length = eq ? (size_t)(eq - part) : length;
    enum fault_point point = FAULT_COUNT;
    if (point_from_name(part, name_length, &point) != 0) {
        return xp_fail(err, XP_INVALID, "fault point '%.*s' does not exist", (int)name_length,
                       part);
    }
    if (!eq || !fault_from_text(eq + 1, length - name_length - 1, &wanted[point])) {
        return xp_fail(err, XP_INVALID,
                       "fault '%.*s': want name=error[:COUNT], name=delay:MS or name=crash, "
                       "and @N for the Nth call",
                       (int)(length > 80 ? 80 : length), part);
    }
    return 0;
}

int fault_configure(const char *spec, struct xp_err *err)
{
    struct fault wanted[FAULT_COUNT] = { 0 };
    const char *cursor = spec;
    const char *part = NULL;
    size_t length = 0;
    while (text_next_part(&cursor, ",", &part, &length)) {
        int rc = parse_one(part, length, wanted, err);
        if (rc < 0) {
            return rc;
        }
    }
    mutex_lock(&faults_lock);
    memcpy(faults, wanted, sizeof(faults));
    mutex_unlock(&faults_lock);
    return 0;
}

#endif
