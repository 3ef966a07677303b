/* metrics.c - see metrics.h. The lock covers the list of metrics only; values are atomic. */
#include "shared/base/metrics.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/banned.h"

struct bound {
    int64_t us;
    const char *text;
};

static const struct bound bounds[METRIC_BUCKETS] = {
    { 1000, "0.001" },  { 2500, "0.0025" }, { 5000, "0.005" },  { 10000, "0.01" },
    { 25000, "0.025" }, { 50000, "0.05" },  { 100000, "0.1" },  { 250000, "0.25" },
    { 500000, "0.5" },  { 1000000, "1.0" }, { 2500000, "2.5" }, { 10000000, "10.0" },
};

static struct mutex list_lock = MUTEX_INIT;
static struct metric *list_head XP_GUARDED_BY(list_lock);
static size_t list_count XP_GUARDED_BY(list_lock);

static int64_t read_atomic(const int64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void add_atomic(int64_t *value, int64_t delta)
{
    (void)__atomic_add_fetch(value, delta, __ATOMIC_RELAXED);
}

void metric_register(struct metric *m)
{
    if (__atomic_load_n(&m->registered, __ATOMIC_ACQUIRE)) {
        return;
    }
    mutex_lock(&list_lock);
    if (!m->registered) {
        m->next = list_head;
        list_head = m;
        list_count++;
        __atomic_store_n(&m->registered, 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&list_lock);
}

void metric_add(struct metric *m, int64_t delta)
{
    xp_check(m->kind != METRIC_HISTOGRAM && (m->kind == METRIC_GAUGE || delta >= 0));
    metric_register(m);
    add_atomic(&m->value, delta);
}

void metric_set(struct metric *m, int64_t value)
{
    xp_check(m->kind == METRIC_GAUGE);
    metric_register(m);
    __atomic_store_n(&m->value, value, __ATOMIC_RELAXED);
}

void metric_observe_us(struct metric *m, int64_t duration_us)
{
    xp_check(m->kind == METRIC_HISTOGRAM);
    metric_register(m);
    size_t i = 0;
    while (i < METRIC_BUCKETS && duration_us > bounds[i].us) {
        i++;
    }
    add_atomic(&m->bucket[i], 1);
    add_atomic(&m->sum_us, duration_us);
}

int64_t metric_value(const struct metric *m)
{
    return read_atomic(&m->value);
}

static const char *kind_text(enum metric_kind kind)
{
    switch (kind) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

static void print_head(struct str *out, const char *name, const char *help, enum metric_kind kind)
{
    str_printf(out, "# HELP %s ", name);
    for (const char *p = help; *p; p++) {
        if (*p == '\\') {
            str_puts(out, "\\\\");
        } else if (*p == '\n') {
            str_puts(out, "\\n");
        } else {
            str_putc(out, *p);
        }
    }
    str_printf(out, "\n# TYPE %s %s\n", name, kind_text(kind));
}

static void print_name(struct str *out, const struct metric *m, const char *suffix)
{
    const char *open = m->labels[0] ? "{" : "";
    const char *close = m->labels[0] ? "}" : "";
    str_printf(out, "%s%s%s%s%s ", m->name, suffix, open, m->labels, close);
}

static void print_bucket(struct str *out, const struct metric *m, const char *bound, int64_t count)
{
    str_printf(out, "%s_bucket{%s%sle=\"%s\"} %lld\n", m->name, m->labels, m->labels[0] ? "," : "",
               bound, (long long)count);
}

/* The total is the sum of the buckets read here, so that _count and the +Inf bucket always agree.
 */
static void print_histogram(struct str *out, const struct metric *m)
{
    int64_t total = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        total += read_atomic(&m->bucket[i]);
        print_bucket(out, m, bounds[i].text, total);
    }
    total += read_atomic(&m->bucket[METRIC_BUCKETS]);
    print_bucket(out, m, "+Inf", total);
    print_name(out, m, "_sum");
    str_printf(out, "%.6f\n", (double)read_atomic(&m->sum_us) / 1e6);
    print_name(out, m, "_count");
    str_printf(out, "%lld\n", (long long)total);
}

static void print_metric(struct str *out, const struct metric *m)
{
    if (m->kind == METRIC_HISTOGRAM) {
        print_histogram(out, m);
        return;
    }
    print_name(out, m, "");
    int64_t value = read_atomic(&m->value);
    if (m->scale > 1) {
        str_printf(out, "%.3f\n", (double)value / (double)m->scale);
    } else {
        str_printf(out, "%lld\n", (long long)value);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct metric *x = *(const struct metric *const *)a;
    const struct metric *y = *(const struct metric *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->labels, y->labels);
}

/* Every registered metric, sorted. Returns owned (free). */
static const struct metric **snapshot(size_t *ret_count)
{
    mutex_lock(&list_lock);
    const struct metric **all = xcalloc(list_count, sizeof(*all));
    size_t n = 0;
    for (const struct metric *m = list_head; m; m = m->next) {
        all[n++] = m;
    }
    mutex_unlock(&list_lock);
    qsort(all, n, sizeof(*all), by_name);
    *ret_count = n;
    return all;
}

static double cpu_seconds(void)
{
    struct rusage u = { 0 };
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int64_t entries_of(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        return 0;
    }
    int64_t n = 0;
    while (readdir(dir)) {
        n++;
    }
    (void)closedir(dir);
    return n - 2; /* "." and ".." */
}

/* Field 'index' (from 0) behind the process name in /proc/self/stat, which may hold blanks itself.
 */
static int64_t stat_field(const char *stat, int index)
{
    const char *p = strrchr(stat, ')');
    for (int i = -1; p && i < index; i++) {
        p = strchr(p + 1, ' ');
    }
    return p ? strtoll(p + 1, NULL, 10) : 0;
}

static void gauge(struct str *out, const char *name, const char *help, double value)
{
    print_head(out, name, help, METRIC_GAUGE);
    str_printf(out, "%s %.15g\n", name, value);
}

/* Unix time at which the process started: wall time now, minus its age since boot. */
static double start_time_s(int64_t start_ticks)
{
    struct timespec wall = { 0 };
    struct timespec boot = { 0 };
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    double now = (double)wall.tv_sec + (double)wall.tv_nsec / 1e9;
    double up = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9;
    return now - up + (double)start_ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Positions of proc(5), counted from the state field behind the name. */
enum { STAT_THREADS = 17, STAT_START_TICKS = 19, STAT_VSIZE = 20, STAT_RSS_PAGES = 21 };

static void print_process(struct str *out)
{
    char stat[1024] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    if (file) {
        size_t n = fread(stat, 1, sizeof(stat) - 1, file);
        stat[n] = '\0';
        (void)fclose(file);
    }
    print_head(out, "process_cpu_seconds_total", "CPU time used, user and system", METRIC_COUNTER);
    str_printf(out, "process_cpu_seconds_total %.6f\n", cpu_seconds());
    gauge(out, "process_open_fds", "Open file descriptors", (double)entries_of("/proc/self/fd"));
    struct rlimit limit = { 0 };
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    gauge(out, "process_max_fds", "Limit of open file descriptors", (double)limit.rlim_cur);
    gauge(out, "process_resident_memory_bytes", "Resident memory",
          (double)stat_field(stat, STAT_RSS_PAGES) * (double)sysconf(_SC_PAGESIZE));
    gauge(out, "process_virtual_memory_bytes", "Virtual memory",
          (double)stat_field(stat, STAT_VSIZE));
    gauge(out, "process_threads", "Threads", (double)stat_field(stat, STAT_THREADS));
    gauge(out, "process_start_time_seconds", "Unix time at which the process started",
          start_time_s(stat_field(stat, STAT_START_TICKS)));
}

void metrics_print(struct str *out)
{
    size_t count = 0;
    AUTO_FREE const struct metric **all = snapshot(&count);
    print_process(out);
    print_head(out, "xpipe_build_info", "Always 1; the label says which version runs",
               METRIC_GAUGE);
    str_printf(out, "xpipe_build_info{version=\"%s\"} 1\n", XP_VERSION);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(all[i]->name, all[i - 1]->name) != 0) {
            print_head(out, all[i]->name, all[i]->help, all[i]->kind);
        }
        print_metric(out, all[i]);
    }
}
