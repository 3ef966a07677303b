/* system_trace.c - see system_trace.h. */
#include "tests/sim/system_trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define EVENT_MAX_BYTES 240
#define FAULTS_KEPT     400

static struct {
    bool is_verbose;
    bool is_over;
    mono_ms started_at;
    uint64_t hash;
    uint64_t count;
    char events[TRACE_KEPT][EVENT_MAX_BYTES];
    char faults[FAULTS_KEPT][EVENT_MAX_BYTES];
    size_t fault_count;
    char promise[64];
    char failure[2 * EVENT_MAX_BYTES];
} trace;

void trace_reset(bool is_verbose)
{
    trace.is_verbose = is_verbose;
    trace.is_over = false;
    trace.started_at = clock_mono_ms();
    trace.hash = 0xCBF29CE484222325U;
    trace.count = 0;
    trace.fault_count = 0;
    trace.promise[0] = '\0';
    trace.failure[0] = '\0';
}

void trace_mix(uint64_t number)
{
    trace.hash = (trace.hash ^ number) * 0x100000001B3U;
    trace.hash ^= trace.hash >> 29;
}

/* What comes after the failure is only the end of the run. */
XP_PRINTF(1, 0) static const char *add_event(const char *fmt, va_list args)
{
    static char nothing[1];
    if (trace.is_over) {
        return nothing;
    }
    char *line = trace.events[trace.count++ % TRACE_KEPT];
    int64_t at = clock_mono_ms() - trace.started_at;
    int used = snprintf(line, EVENT_MAX_BYTES, "%4lld.%03lld ", (long long)at / 1000,
                        (long long)at % 1000);
    (void)vsnprintf(line + used, EVENT_MAX_BYTES - (size_t)used, fmt, args);
    for (const char *p = line; *p; p++) {
        trace.hash = (trace.hash ^ (unsigned char)*p) * 0x100000001B3U;
    }
    if (trace.is_verbose) {
        (void)fprintf(stderr, "## %s\n", line);
    }
    return line;
}

void trace_event(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)add_event(fmt, args);
    va_end(args);
}

void trace_fault(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *line = add_event(fmt, args);
    va_end(args);
    if (trace.fault_count < FAULTS_KEPT) {
        (void)snprintf(trace.faults[trace.fault_count++], EVENT_MAX_BYTES, "%s", line);
    }
}

uint64_t trace_hash(void)
{
    return trace.hash;
}

void trace_fail(const char *promise, const char *fmt, ...)
{
    if (trace.promise[0]) {
        return;
    }
    (void)snprintf(trace.promise, sizeof(trace.promise), "%s", promise);
    int used = snprintf(trace.failure, sizeof(trace.failure), "%s: ", promise);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(trace.failure + used, sizeof(trace.failure) - (size_t)used, fmt, args);
    va_end(args);
    trace_event("BROKEN %s", trace.failure);
    trace.is_over = true;
}

const char *trace_failure(void)
{
    return trace.promise[0] ? trace.failure : NULL;
}

const char *trace_promise(void)
{
    return trace.promise[0] ? trace.promise : NULL;
}

void trace_print(void)
{
    (void)printf("  faults:\n");
    for (size_t i = 0; i < trace.fault_count; i++) {
        (void)printf("    %s\n", trace.faults[i]);
    }
    uint64_t kept = trace.count < TRACE_KEPT ? trace.count : TRACE_KEPT;
    (void)printf("  the last %llu of %llu events:\n", (unsigned long long)kept,
                 (unsigned long long)trace.count);
    for (uint64_t i = trace.count - kept; i < trace.count; i++) {
        (void)printf("    %s\n", trace.events[i % TRACE_KEPT]);
    }
    (void)printf("  broken: %s\n", trace.failure);
}
