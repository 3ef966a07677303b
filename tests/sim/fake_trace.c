/* fake_trace.c - see fake_trace.h. */
#include "tests/sim/fake_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"

#include "shared/base/banned.h"

#define SHOWN_MAX 400

static struct {
    uint64_t hash;
    int64_t count;
    int level; /* 0: not asked yet; 1: silent; 2: events; 3: steps, too */
} trace;

void fake_trace_reset(void)
{
    trace.hash = 0xCBF29CE484222325ULL;
    trace.count = 0;
}

static int level(void)
{
    if (trace.level == 0) {
        const char *wish = getenv("XPIPE_SIM_TRACE");
        trace.level = !wish ? 1 : wish[0] == '2' ? 3 : 2;
    }
    return trace.level;
}

/* Eight bytes at a time; the length goes in as well. */
static void mix(const void *bytes, size_t length)
{
    const char *at = bytes;
    uint64_t h = trace.hash ^ length;
    for (uint64_t word; length > 0; at += sizeof(word)) {
        size_t n = length < sizeof(word) ? length : sizeof(word);
        word = 0;
        memcpy(&word, at, n);
        h = (h ^ word) * 0x9E3779B97F4A7C15ULL;
        h ^= h >> 29;
        length -= n;
    }
    trace.hash = h;
}

static void add(const char *what, const char *who, const void *bytes, size_t length)
{
    mono_ms now = clock_mono_ms();
    mix(&now, sizeof(now));
    mix(what, strlen(what));
    mix(who, strlen(who));
    mix(bytes, length);
    trace.count++;
}

void fake_trace(const char *what, const char *who, const void *bytes, size_t length)
{
    add(what, who, bytes, length);
    if (level() >= 2) {
        (void)fprintf(stderr, "%lld %s %s %.*s\n", (long long)clock_mono_ms(), what, who,
                      (int)(length < SHOWN_MAX ? length : SHOWN_MAX), (const char *)bytes);
    }
}

void fake_trace_text(const char *what, const char *who, const char *text)
{
    fake_trace(what, who, text ? text : "", text ? strlen(text) : 0);
}

void fake_trace_step(bool is_timer, uint64_t loop_id, uint64_t seq)
{
    uint64_t words[] = { (uint64_t)clock_mono_ms(), loop_id * 2 + is_timer, seq };
    mix(words, sizeof(words));
    trace.count++;
    if (level() >= 3) {
        (void)fprintf(stderr, "%lld %s of loop %llu\n", (long long)clock_mono_ms(),
                      is_timer ? "timer" : "message", (unsigned long long)loop_id);
    }
}

uint64_t fake_trace_hash(void)
{
    return trace.hash;
}

int64_t fake_trace_count(void)
{
    return trace.count;
}
