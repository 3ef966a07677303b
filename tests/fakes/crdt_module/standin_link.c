/* standin_link.c - see standin_link.h; bytes of the handshake: reference/crdt-redis.md chapter
 * 6. */
#include "tests/fakes/crdt_module/standin_link.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/fakes/crdt_module/feed.h"
#include "tests/fakes/crdt_module/peer_table.h"
#include "tests/fakes/crdt_module/wire.h"

#include "shared/base/banned.h"

enum { CONNECT_TIMEOUT_MS = 5000, KEY_MAX_BYTES = 64 * 1024 };

/* One attempt: copies of what was configured when it began. Owner: the link thread. */
struct attempt {
    int gid;
    uint64_t epoch;
    struct peer_words words;
    int in_use;
    bool owes;
    int64_t owed_clock;
    bool has_replid;
    char replid[REPLID_LEN + 1];
    int64_t offset;
    int64_t timeout_ms;
    char clocks[512]; /* own and known clocks, for min-vc */
    char announce_ip[64];
    int listening_port;
    struct wire wire;
};

static void lock(void)
{
    RM_ThreadSafeContextLock(standin.thread_ctx);
}

static void unlock(void)
{
    RM_ThreadSafeContextUnlock(standin.thread_ctx);
}

/* Under the lock: the peer if the attempt still counts, else NULL. */
static struct peer *current(const struct attempt *a)
{
    struct peer *p = peer_get(a->gid);

    return p->used && p->epoch == a->epoch ? p : NULL;
}

static int draw_proxy(const struct peer *p)
{
    if (version_is_at_least(1, 0, 17)) {
        return (int)(random() % p->words.server_count);
    }
    return p->try_count == 0 ? p->in_use : (p->in_use + 1) % p->words.server_count;
}

static void add_clock(char *text, size_t size, int gid, int64_t clock)
{
    size_t len = strlen(text);

    (void)snprintf(text + len, size - len, "%s%d:%lld", len ? ";" : "", gid, (long long)clock);
}

static void collect_clocks(struct attempt *a)
{
    a->clocks[0] = '\0';
    for (int gid = 1; gid <= GID_MAX; gid++) {
        const struct peer *p = peer_get(gid);
        if (gid == standin.set.gid) {
            add_clock(a->clocks, sizeof a->clocks, gid, feed_clock());
        } else if (p->used && p->has_replid) {
            add_clock(a->clocks, sizeof a->clocks, gid, p->offset);
        }
    }
}

static bool may_connect(const struct peer *p)
{
    return p->used && standin.is_master && p->lazy_until_ms <= now_mono_ms();
}

/* Under the lock. */
static void begin(struct attempt *a, int gid, struct peer *p)
{
    a->gid = gid;
    a->epoch = p->epoch;
    a->words = p->words;
    a->owes = p->owes;
    a->owed_clock = p->owed_clock;
    a->has_replid = p->has_replid && !p->owes;
    text_copy(a->replid, sizeof a->replid, p->replid, strnlen(p->replid, REPLID_LEN));
    a->offset = a->has_replid ? p->offset : 0;
    a->timeout_ms = standin.set.timeout_ms + 1000;
    a->listening_port = standin.listening_port;
    text_copy(a->announce_ip, sizeof a->announce_ip, standin.announce_ip,
              strlen(standin.announce_ip));
    collect_clocks(a);
    if (p->words.proxied) {
        p->in_use = draw_proxy(p);
    }
    p->try_count++;
    a->in_use = p->in_use;
    p->phase = LINK_CONNECTING;
}

static bool open_wire(struct attempt *a)
{
    const struct proxy_server *proxy = &a->words.servers[a->in_use];
    int fd = a->words.proxied ? wire_connect(proxy->host, proxy->port, CONNECT_TIMEOUT_MS)
                              : wire_connect(a->words.host, a->words.port, CONNECT_TIMEOUT_MS);
    struct peer *p;

    wire_init(&a->wire, fd);
    if (fd < 0) {
        return false;
    }
    lock();
    p = current(a);
    if (p) {
        p->fd = fd;
        p->phase = LINK_HANDSHAKE;
    }
    unlock();
    return p != NULL;
}

/* Sends one inline command and reads the answer's line. */
static bool ask(struct attempt *a, char *answer, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool ask(struct attempt *a, char *answer, size_t size, const char *format, ...)
{
    char line[1024];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line - 2, format, args);
    va_end(args);
    if (n <= 0 || (size_t)n >= sizeof line - 2) {
        return false;
    }
    line[n] = '\r';
    line[n + 1] = '\n';
    return wire_write(&a->wire, line, (size_t)n + 2, a->timeout_ms) &&
           wire_line(&a->wire, answer, size, a->timeout_ms);
}

static bool accepted(const char *answer)
{
    return answer[0] == '+';
}

static bool handshake(struct attempt *a)
{
    char answer[TEXT_MAX];
    char route[PARAMS_MAX + HOST_MAX + 64];
    size_t len = a->words.proxied ? words_route_line(&a->words, route, sizeof route) : 0;

    if (len && !wire_write(&a->wire, route, len, a->timeout_ms)) {
        return false;
    }
    if (!ask(a, answer, sizeof answer, "PING") ||
        (!accepted(answer) && strncmp(answer, "-NOAUTH", 7) != 0)) {
        return false;
    }
    if (!ask(a, answer, sizeof answer, "CRDT.AUTH %s %d", standin.set.ns, a->gid) ||
        !accepted(answer) ||
        !ask(a, answer, sizeof answer, "CRDT.REPLCONF listening-port %d", a->listening_port) ||
        !accepted(answer)) {
        return false;
    }
    if (a->announce_ip[0] &&
        (!ask(a, answer, sizeof answer, "CRDT.REPLCONF ip-address %s", a->announce_ip) ||
         !accepted(answer))) {
        return false;
    }
    if (!ask(a, answer, sizeof answer, "CRDT.REPLCONF capa eof capa psync2") || !accepted(answer) ||
        !ask(a, answer, sizeof answer, "CRDT.REPLCONF min-vc %s", a->clocks) || !accepted(answer)) {
        return false;
    }
    return !a->owes || (ask(a, answer, sizeof answer, "CRDT.REPLCONF backstream %d:%lld",
                            standin.set.gid, (long long)a->owed_clock) &&
                        accepted(answer));
}

/* Under the lock: the position of this link, for the replicas of this DC as well. */
static void note_position(struct peer *p, const struct attempt *a)
{
    p->has_replid = true;
    p->try_count = 0;
    text_copy(p->replid, sizeof p->replid, a->replid, strlen(a->replid));
    p->offset = a->offset;
    RM_Replicate(standin.thread_ctx, "STANDIN.POSITION", "lcl", (long long)a->gid, a->replid,
                 (long long)a->offset);
}

static bool set_phase(const struct attempt *a, enum link_phase phase)
{
    struct peer *p;

    lock();
    p = current(a);
    if (p) {
        p->phase = phase;
        p->last_io_ms = now_mono_ms();
        if (phase == LINK_SYNC && !p->has_replid) {
            p->offset = 0;
        }
        if (phase == LINK_UP) {
            note_position(p, a);
        }
    }
    unlock();
    return p != NULL;
}

static bool start_sync(struct attempt *a)
{
    char answer[TEXT_MAX];
    const char *replid;

    if (!(a->has_replid ? ask(a, answer, sizeof answer, "CRDT.PSYNC %s %lld", a->replid,
                              (long long)a->offset + 1)
                        : ask(a, answer, sizeof answer, "CRDT.PSYNC ? -1"))) {
        return false;
    }
    replid = answer + 1 + strcspn(answer + 1, " ");
    replid += *replid == ' ';
    if (strncmp(answer, "+CONTINUE", 9) != 0 && strncmp(answer, "+FULLRESYNC", 11) != 0) {
        return false;
    }
    if (strcspn(replid, " ") != REPLID_LEN) {
        return false;
    }
    text_copy(a->replid, sizeof a->replid, replid, REPLID_LEN);
    if (answer[1] == 'C') {
        return set_phase(a, LINK_UP);
    }
    a->offset = 0;
    return set_phase(a, LINK_SYNC);
}

struct batch {
    int64_t reached;
    int64_t more;
    int64_t own_clock; /* what the upstream knows of the own gid */
    int count;
    struct feed_op ops[FEED_BATCH_MAX];
};

static void batch_free(struct batch *b)
{
    for (int i = 0; i < b->count; i++) {
        free((char *)(uintptr_t)b->ops[i].key);
        free((char *)(uintptr_t)b->ops[i].value);
    }
    b->count = 0;
}

/* Reads one operation; a "skip" (key gone since, or too large) leaves no entry behind. */
static bool read_op(struct attempt *a, struct batch *b)
{
    struct feed_op op = { .value = NULL };
    size_t kind_len;
    int64_t gid = 0;
    char *kind = NULL;
    bool ok;

    op.key = wire_bulk(&a->wire, KEY_MAX_BYTES, &op.key_len, a->timeout_ms);
    kind = op.key ? wire_bulk(&a->wire, 8, &kind_len, a->timeout_ms) : NULL;
    op.value = kind ? wire_bulk(&a->wire, FEED_VALUE_MAX, &op.value_len, a->timeout_ms) : NULL;
    ok = op.value && wire_number(&a->wire, ':', &op.stamp_us, a->timeout_ms) &&
         wire_number(&a->wire, ':', &gid, a->timeout_ms);
    if (ok && strcmp(kind, "skip") != 0) {
        op.gid = (int)gid;
        op.deleted = strcmp(kind, "del") == 0;
        b->ops[b->count++] = op;
    } else {
        free((char *)(uintptr_t)op.key);
        free((char *)(uintptr_t)op.value);
    }
    free(kind);
    return ok;
}

static bool read_batch(struct attempt *a, struct batch *b)
{
    int64_t words = 0;

    b->count = 0;
    if (!wire_number(&a->wire, '*', &words, a->timeout_ms) || words < FEED_HEADER_WORDS ||
        (words - FEED_HEADER_WORDS) % FEED_OP_WORDS != 0 ||
        (words - FEED_HEADER_WORDS) / FEED_OP_WORDS > FEED_BATCH_MAX) {
        return false;
    }
    if (!wire_number(&a->wire, ':', &b->reached, a->timeout_ms) ||
        !wire_number(&a->wire, ':', &b->more, a->timeout_ms) ||
        !wire_number(&a->wire, ':', &b->own_clock, a->timeout_ms)) {
        return false;
    }
    for (int64_t i = 0; i < (words - FEED_HEADER_WORDS) / FEED_OP_WORDS; i++) {
        if (!read_op(a, b)) {
            batch_free(b);
            return false;
        }
    }
    return true;
}

/* Under the lock, when everything of this round has arrived: what a full sync settles. */
static bool settle(struct peer *p, const struct batch *b)
{
    if (p->owes) {
        p->owes = false;
        feed_jump(b->own_clock);
    } else if (p->asks_clock && b->own_clock > feed_clock()) {
        /* Restarted, or promoted, with less than the peer knows of us: take it back before anything else. */
        p->owes = true;
        p->owed_clock = feed_clock();
        p->has_replid = false;
        return false;
    }
    p->asks_clock = false;
    return true;
}

static bool apply_batch(struct attempt *a, const struct batch *b)
{
    struct peer *p;
    bool ok = false;

    lock();
    p = current(a);
    if (p && standin.is_master) {
        for (int i = 0; i < b->count; i++) {
            feed_apply(standin.thread_ctx, &b->ops[i]);
        }
        p->last_io_ms = now_mono_ms();
        a->offset = b->reached;
        ok = b->more || settle(p, b);
        if (ok && !b->more) {
            p->phase = LINK_UP;
            note_position(p, a);
        }
    }
    unlock();
    return ok;
}

/* Asks for changes for as long as the link holds. */
static void pull(struct attempt *a)
{
    struct batch *b = calloc(1, sizeof *b);
    bool ok = b != NULL;

    while (ok) {
        char line[96];
        int n = snprintf(line, sizeof line, "STANDIN.PULL %d %lld\r\n", standin.set.gid,
                         (long long)a->offset);
        ok = wire_write(&a->wire, line, (size_t)n, a->timeout_ms) && read_batch(a, b);
        if (ok) {
            ok = apply_batch(a, b);
            batch_free(b);
        }
    }
    free(b);
}

static void finish(struct attempt *a)
{
    struct peer *p = peer_get(a->gid);

    lock();
    p->fd = -1;
    if (current(a)) {
        if (p->phase == LINK_UP) {
            p->down_wall_s = now_wall_s();
        }
        p->phase = LINK_WAITING;
    }
    unlock();
    if (a->wire.fd >= 0) {
        close(a->wire.fd);
    }
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };

    nanosleep(&t, NULL);
}

static void *run(void *arg)
{
    int gid = (int)(intptr_t)arg;
    struct attempt *a = calloc(1, sizeof *a);

    if (!a) {
        abort();
    }
    for (;;) {
        struct peer *p = peer_get(gid);
        bool go;
        sleep_ms(standin.set.tick_ms);
        lock();
        go = may_connect(p);
        if (go) {
            begin(a, gid, p);
        }
        unlock();
        if (!go) {
            continue;
        }
        if (open_wire(a) && handshake(a) && start_sync(a)) {
            pull(a);
        }
        finish(a);
    }
    return NULL;
}

void link_thread_start(int gid)
{
    struct peer *p = peer_get(gid);
    sigset_t all, before;
    pthread_t thread;

    if (p->thread_runs) {
        return;
    }
    p->fd = -1;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    p->thread_runs = pthread_create(&thread, NULL, run, (void *)(intptr_t)gid) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (p->thread_runs) {
        pthread_detach(thread);
    } else {
        RM_Log(NULL, "warning", "standin: no thread for gid %d; its link stays down", gid);
    }
}
