/* container_main.c - start and end of the keeper container stand-in (container.h).
 *
 * Usage: keeper_container --port P --dir DIR --module keeper_module.so [--ip 127.0.0.1] [--zk HOSTS] [--namespace xpipe]
 *                         [--zk-layout repl|shard] [--zk-session-ms 5000] [--redis-server redis-server]
 * Ends on SIGTERM or SIGINT, after its keepers. Killed, it takes them along. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/fakes/keeper_container/container.h"

#include "shared/base/banned.h"

enum { CONNECTIONS_MAX = 256, QUEUE_MAX = 256, ANSWER_LIMIT_MS = 90000 };

struct settings {
    const char *ip;
    const char *port;
    const char *dir;
    const char *module;
    const char *zk;
    const char *zk_namespace;
    const char *zk_layout;
    const char *zk_session_ms;
    const char *redis_server;
};

static int fail_usage(const char *what)
{
    (void)fprintf(stderr,
                  "keeper_container: %s\nusage: keeper_container --port P --dir DIR --module FILE "
                  "[--ip IP] [--zk HOSTS] [--namespace NAME] [--zk-layout repl|shard] "
                  "[--zk-session-ms N] [--redis-server FILE]\n",
                  what);
    return 2;
}

static int read_options(int argc, char **argv, struct settings *s)
{
    const struct {
        const char *name;
        const char **value;
    } rows[] = {
        { "--ip", &s->ip },
        { "--port", &s->port },
        { "--dir", &s->dir },
        { "--module", &s->module },
        { "--zk", &s->zk },
        { "--namespace", &s->zk_namespace },
        { "--zk-layout", &s->zk_layout },
        { "--zk-session-ms", &s->zk_session_ms },
        { "--redis-server", &s->redis_server },
    };
    for (int i = 1; i < argc; i += 2) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(rows) && i + 1 < argc; k++) {
            if (strcmp(argv[i], rows[k].name) == 0) {
                *rows[k].value = argv[i + 1];
                is_known = true;
            }
        }
        if (!is_known) {
            return fail_usage(argv[i]);
        }
    }
    if (!s->port || !s->dir || !s->module) {
        return fail_usage("--port, --dir and --module are needed");
    }
    return text_eq(s->zk_layout, "repl") || text_eq(s->zk_layout, "shard")
               ? 0
               : fail_usage("--zk-layout is repl or shard");
}

static void end_keepers(struct job *job)
{
    keeper_table_stop_all(CONTAINER_OF(job, struct container, ending)->table);
}

static void end_loop(struct job *job)
{
    loop_stop(CONTAINER_OF(job, struct container, ending)->loop);
}

/* The worker started the keepers, so it ends them. A second signal adds nothing. */
static void on_signal(int signo, void *arg)
{
    struct container *c = arg;
    struct xp_err err;
    if ((signo != SIGTERM && signo != SIGINT) || c->ending.run) {
        return;
    }
    c->ending = (struct job){ .run = end_keepers, .done = end_loop, .deadline = MONO_FOREVER };
    if (worker_submit(c->pool, &c->ending, &err) != 0) {
        loop_stop(c->loop); /* its queue is full: the keepers end with the worker */
    }
}

static int serve(struct container *c, int port)
{
    static const struct http_route *const tables[] = { container_routes, NULL };
    const struct http_options o = { .loop = c->loop,
                                    .pool = c->pool,
                                    .bind_ip = c->ip,
                                    .port = port,
                                    .max_connections = CONNECTIONS_MAX,
                                    .handler_timeout_ms = ANSWER_LIMIT_MS,
                                    .tables = tables,
                                    .on_error = container_on_error,
                                    .arg = c };
    struct xp_err err;
    if (http_server_start(&o, &c->http, &err) != 0) {
        (void)fprintf(stderr, "keeper_container: %s\n", err.msg);
        return 1;
    }
    loop_signals_watch(c->loop, on_signal, c);
    loop_run(c->loop);
    http_server_stop(c->http);
    return 0;
}

static int run(const struct settings *s, int port, int64_t session_ms)
{
    char dir[PATH_MAX], module[PATH_MAX];
    if (!realpath(s->dir, dir) || !realpath(s->module, module)) {
        return fail_usage("--dir and --module must exist");
    }
    const struct keeper_table_options o = { .dir = dir,
                                            .redis_server = s->redis_server,
                                            .module = module,
                                            .zk_hosts = s->zk,
                                            .zk_namespace = s->zk_namespace,
                                            .zk_by_shard = text_eq(s->zk_layout, "shard"),
                                            .zk_session_ms = session_ms };
    loop_signals_block();
    struct container c = { .loop = loop_new(), .ip = s->ip, .dir = dir };
    c.table = keeper_table_new(&o);
    c.pool = worker_pool_new(c.loop, "keepers", 1, QUEUE_MAX, NULL, NULL, NULL);
    int rc = serve(&c, port);
    worker_pool_free(c.pool);
    keeper_table_free(c.table);
    loop_free(c.loop);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings s = { .ip = "127.0.0.1",
                          .zk = "",
                          .zk_namespace = "xpipe",
                          .zk_layout = "repl",
                          .zk_session_ms = "5000",
                          .redis_server = "redis-server" };
    int64_t port = 0;
    int64_t session_ms = 0;
    int rc = read_options(argc, argv, &s);
    if (rc != 0) {
        return rc;
    }
    if (!text_to_i64(s.port, strlen(s.port), 1, 65535, &port) ||
        !text_to_i64(s.zk_session_ms, strlen(s.zk_session_ms), 1, 3600000, &session_ms)) {
        return fail_usage("--port or --zk-session-ms is no number in its range");
    }
    if (!text_has_prefix(s.ip, "127.")) {
        return fail_usage("--ip: a stand-in listens on 127.x.y.z only");
    }
    return run(&s, (int)port, session_ms);
}
