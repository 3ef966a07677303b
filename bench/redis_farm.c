/* redis_farm.c - one process that answers as thousands of CRDT Redis on 127.NET.0.1, 127.NET.0.2, ... (farm.h).
 *
 * Usage: redis_farm --port P --control P [--count N] [--net N] [--gid N] [--seed N] [--script FILE] [--redises N [--keepers N]]
 * With --redises each of the 'count' is a one-way shard of so many Redis and keepers, each of these in a net of its own: NET, NET + 1...
 * Says "ready" when both ports listen. Ends on SIGTERM or SIGINT. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/farm.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define SPARE_FILES 100
#define SHARD_MAX   16 /* Redis and keepers */

struct settings {
    int64_t port;
    int64_t control;
    int64_t count;
    int64_t net;
    int64_t gid;
    int64_t seed;
    int64_t redises;
    int64_t keepers;
    const char *script;
};

static int fail_usage(const char *what)
{
    (void)fprintf(stderr,
                  "redis_farm: %s\nusage: redis_farm --port P --control P [--count 1..%d] "
                  "[--net 1..255] [--gid 1..%d] [--seed N] [--script FILE] [--redises 1..%d "
                  "[--keepers 0..%d]]\n",
                  what, FARM_COUNT_MAX, FARM_GID_MAX, SHARD_MAX / 2, SHARD_MAX / 2);
    return 2;
}

static int read_options(int argc, char **argv, struct settings *s)
{
    const struct {
        const char *name;
        int64_t min;
        int64_t max;
        int64_t *value;
    } rows[] = {
        { "port", 1, 65535, &s->port },
        { "control", 1, 65535, &s->control },
        { "count", 1, FARM_COUNT_MAX, &s->count },
        { "net", 1, 255, &s->net },
        { "gid", 1, FARM_GID_MAX, &s->gid },
        { "seed", 1, INT64_MAX, &s->seed },
        { "redises", 1, SHARD_MAX / 2, &s->redises },
        { "keepers", 0, SHARD_MAX / 2, &s->keepers },
    };
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = text_has_prefix(argv[i], "--") ? argv[i] + 2 : "";
        bool is_known = strcmp(name, "script") == 0;
        s->script = is_known ? argv[i + 1] : s->script;
        for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
            if (strcmp(name, rows[k].name) == 0) {
                is_known = text_to_i64(argv[i + 1], strlen(argv[i + 1]), rows[k].min, rows[k].max,
                                       rows[k].value);
            }
        }
        if (!is_known) {
            return fail_usage(argv[i]);
        }
    }
    if (s->keepers > 0 && s->redises == 0) {
        return fail_usage("keepers need --redises");
    }
    return argc % 2 == 0 || s->port == 0 || s->control == 0 ? fail_usage("ports are missing") : 0;
}

static int64_t instances_of(const struct settings *s)
{
    return s->count * (s->redises > 0 ? s->redises + s->keepers : 1);
}

static int check_files(int64_t count)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)count + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        perror("redis_farm: RLIMIT_NOFILE");
        return 1;
    }
    limit.rlim_cur = limit.rlim_max; /* while a shard changes hands, two clients are connected */
    if (limit.rlim_cur < need || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        (void)fprintf(stderr, "redis_farm: %lld instances need %llu open files; raise ulimit -n\n",
                      (long long)count, (unsigned long long)need);
        return 1;
    }
    return 0;
}

static void on_signal(int signo, void *arg)
{
    (void)signo;
    loop_stop(((struct farm *)arg)->loop);
}

static int run(struct farm *f, const struct settings *s)
{
    struct xp_err err;
    if (farm_server_start(f, &err) != 0 || farm_control_start(f, (int)s->control, &err) != 0 ||
        (s->script && farm_control_run_file(f, s->script, &err) != 0)) {
        (void)fprintf(stderr, "redis_farm: %s\n", err.msg);
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    loop_run(f->loop);
    return 0;
}

static void make_instances(struct farm *f)
{
    f->redises = xcalloc(f->count, sizeof(*f->redises));
    for (size_t i = 0; i < f->count; i++) {
        size_t index = i / f->shards;
        if (f->redis_count == 0) {
            farm_redis_init(&f->redises[i], i, f->gid);
        } else {
            farm_redis_init_node(&f->redises[i], i % f->shards, index, index >= f->redis_count);
        }
    }
    if (f->redis_count > 0) {
        farm_tree_start(f);
    }
}

int main(int argc, char **argv)
{
    struct settings s = { .count = 10000, .net = 1, .gid = 1, .seed = 1 };
    int rc = read_options(argc, argv, &s);
    rc = rc != 0 ? rc : check_files(instances_of(&s));
    if (rc != 0) {
        return rc;
    }
    loop_signals_block();
    struct farm f = { .loop = loop_new(),
                      .count = (size_t)instances_of(&s),
                      .shards = (size_t)s.count,
                      .redis_count = (size_t)s.redises,
                      .keeper_count = (size_t)s.keepers,
                      .net = (int)s.net,
                      .port = (int)s.port,
                      .gid = (int)s.gid,
                      .random = (uint64_t)s.seed * 0x9E3779B97F4A7C15U | 1 };
    loop_signals_watch(f.loop, on_signal, &f);
    make_instances(&f);
    farm_clients_start(&f);
    rc = run(&f, &s);
    farm_control_stop(&f);
    farm_latches_stop(&f);
    farm_server_stop(&f);
    farm_clients_stop(&f);
    for (size_t i = 0; i < f.count; i++) {
        farm_redis_done(&f.redises[i]);
    }
    farm_tree_stop(&f);
    free(f.redises);
    free(f.report.times_ms);
    loop_free(f.loop);
    return rc;
}
