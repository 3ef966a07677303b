/* farm_control.c - the script language of the farm, over a port of 127.0.0.1 or from a file. A new command is a row of
 * 'verbs'. COUNT instances are chosen at random among those that the command can change; 'all' means every one. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/farm.h"
#include "shared/base/list.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define WORDS_MAX      8
#define LINE_MAX_BYTES 1024
#define REPLY_MAX      65536
#define CLIENTS_MAX    16
#define AFTER_MAX_MS   3600000

struct farm_control {
    struct farm *farm;
    struct loop_io io;
    struct list clients;
    size_t client_count;
    struct list later;
};

struct client {
    struct farm_control *control;
    struct loop_io io;
    struct list link;
    struct str in;
};

struct later { /* a line that waits for its time */
    struct farm_control *control;
    struct loop_timer timer;
    struct list link;
    char *line;
};

struct words {
    size_t count;
    char *word[WORDS_MAX];
};

/* ---- arguments ---- */

static bool to_number(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    return text && text_to_i64(text, strlen(text), min, max, ret_value);
}

static bool to_count(const struct farm *f, const char *text, size_t *ret_count)
{
    int64_t value = 0;
    if (text && strcmp(text, "all") == 0) {
        *ret_count = f->count;
        return true;
    }
    bool ok = to_number(text, 0, (int64_t)f->count, &value);
    *ret_count = (size_t)value;
    return ok;
}

/* "NET PORT [SERVERS [PARAMS]]" from word 'at' on; blanks in PARAMS are written as '+', "-" is none. */
static bool to_place(const struct words *w, size_t at, struct farm_peer_spec *ret_spec)
{
    int64_t net = 0;
    int64_t port = 0;
    if (w->count < at + 2 || w->count > at + 4 || !to_number(w->word[at], 0, 255, &net) ||
        !to_number(w->word[at + 1], 1, 65535, &port)) {
        return false;
    }
    char *servers = w->count > at + 2 && strcmp(w->word[at + 2], "-") != 0 ? w->word[at + 2] : NULL;
    char *params = w->count > at + 3 && strcmp(w->word[at + 3], "-") != 0 ? w->word[at + 3] : NULL;
    for (char *p = params; p && *p; p++) {
        *p = *p == '+' ? ' ' : *p;
    }
    *ret_spec = (struct farm_peer_spec){ 0, (int)net, (int)port, servers, params };
    return true;
}

/* "GID NET PORT [SERVERS [PARAMS]]" from word 'at' on: a gid that is not the own one. */
static bool to_spec(const struct farm *f, const struct words *w, size_t at,
                    struct farm_peer_spec *ret_spec)
{
    int64_t gid = 0;
    if (w->count <= at || !to_number(w->word[at], 1, FARM_GID_MAX, &gid) || gid == f->gid ||
        !to_place(w, at + 1, ret_spec)) {
        return false;
    }
    ret_spec->gid = (int)gid;
    return true;
}

/* ---- choosing instances ---- */

struct change {
    struct farm *farm;
    bool (*apply)(struct change *, struct farm_redis *); /* false: not this one */
    size_t fault;
    int64_t delay_ms;
    bool is_slave;
    int how;       /* enum farm_break, enum farm_spoil; -1: by chance */
    int64_t index; /* in the shard; -1: any */
    struct farm_peer_spec spec;
};

/* From a random place on by a stride that shares no divisor with the count, so that every instance comes once. */
static size_t apply_to(struct change *change, size_t want)
{
    static const size_t strides[] = { 104729, 1299709, 15485863 }; /* primes over FARM_COUNT_MAX */
    struct farm *f = change->farm;
    size_t stride = strides[farm_random(f) % ARRAY_LEN(strides)];
    size_t at = farm_random(f) % f->count;
    size_t done = 0;
    for (size_t i = 0; i < f->count && done < want; i++) {
        at = (at + stride) % f->count;
        done += change->apply(change, &f->redises[at]);
    }
    return done;
}

static bool apply_break(struct change *change, struct farm_redis *r)
{
    struct farm *f = change->farm;
    int how = change->how >= 0 ? change->how : (int)(farm_random(f) % 3);
    if (r->fault != 0 ||
        !farm_redis_break(r, (enum farm_break)how, farm_random(f), loop_now(f->loop))) {
        return false;
    }
    f->report.broken++;
    return true;
}

static bool apply_spoil(struct change *change, struct farm_redis *r)
{
    struct farm *f = change->farm;
    int first = change->how >= 0 ? change->how : (int)(farm_random(f) % FARM_SPOILS);
    /* the first that it can suffer */
    int last = change->how >= 0 ? first : first + FARM_SPOILS - 1;
    if (change->index >= 0 && (int64_t)r->index != change->index) {
        return false;
    }
    for (int how = first; how <= last; how++) {
        if (farm_tree_break(f, r, (enum farm_spoil)(how % FARM_SPOILS))) {
            f->report.broken++;
            return true;
        }
    }
    return false;
}

/* Each shard is met once for each of its instances. */
static bool apply_kill(struct change *change, struct farm_redis *r)
{
    return r->index == change->farm->redis_count && farm_tree_kill_head(change->farm, r->number);
}

static bool apply_revive(struct change *change, struct farm_redis *r)
{
    return farm_tree_revive(change->farm, r);
}

static bool apply_fault(struct change *change, struct farm_redis *r)
{
    if ((r->fault != 0) == (change->fault != 0)) {
        return false;
    }
    if (change->fault == 0) {
        farm_server_drop(change->farm, r); /* as after a restart: nothing old is answered */
    }
    r->fault = change->fault;
    return true;
}

static bool apply_delay(struct change *change, struct farm_redis *r)
{
    bool is_change = r->delay_ms != change->delay_ms;
    r->delay_ms = change->delay_ms;
    return is_change;
}

static bool apply_role(struct change *change, struct farm_redis *r)
{
    bool is_change = r->is_slave != change->is_slave;
    r->is_slave = change->is_slave;
    return is_change;
}

static bool apply_want(struct change *change, struct farm_redis *r)
{
    bool was_right = r->broken_at == MONO_NEVER;
    farm_redis_want_peer(r, &change->spec, loop_now(change->farm->loop));
    bool is_change = was_right && r->broken_at != MONO_NEVER;
    change->farm->report.broken += is_change;
    return true;
}

static void say_changed(struct change *change, size_t want, struct str *out)
{
    str_printf(out, "ok %zu", apply_to(change, want));
}

/* ---- verbs ---- */

static bool do_peer(struct farm *f, const struct words *w, struct str *out)
{
    struct farm_peer_spec spec;
    if (!to_spec(f, w, 1, &spec)) {
        return false;
    }
    for (size_t i = 0; i < f->count; i++) {
        farm_redis_give_peer(&f->redises[i], &spec);
    }
    str_puts(out, "ok");
    return true;
}

/* The instances from number FROM up to TO (excluded), in order: whoever scripts it must tell the metaserver the same. */
static bool do_want(struct farm *f, const struct words *w, struct str *out)
{
    int64_t from = 0;
    int64_t to = 0;
    struct change change = { .farm = f };
    if (w->count < 6 || !to_number(w->word[1], 0, (int64_t)f->count, &from) ||
        !to_number(w->word[2], from, (int64_t)f->count, &to) || !to_spec(f, w, 3, &change.spec)) {
        return false;
    }
    for (int64_t i = from; i < to; i++) {
        (void)apply_want(&change, &f->redises[i]);
    }
    str_puts(out, "ok");
    return true;
}

/* "break HOW COUNT", HOW being "any" or one of 'names'; w->count is checked. */
static bool break_some(struct change *change, const char *const *names, int name_count,
                       const struct words *w, struct str *out)
{
    size_t want = 0;
    if (!to_count(change->farm, w->word[2], &want)) {
        return false;
    }
    change->how = -1;
    for (int i = 0; i < name_count; i++) {
        change->how = strcmp(w->word[1], names[i]) == 0 ? i : change->how;
    }
    if (change->how < 0 && strcmp(w->word[1], "any") != 0) {
        return false;
    }
    say_changed(change, want, out);
    return true;
}

static bool do_break(struct farm *f, const struct words *w, struct str *out)
{
    static const char *const names[] = {
        [FARM_REMOVE] = "remove", [FARM_ENDPOINT] = "endpoint", [FARM_DIRECT] = "direct"
    };
    struct change change = { .farm = f, .apply = apply_break };
    return w->count == 3 && break_some(&change, names, ARRAY_LEN(names), w, out);
}

/* With INDEX only instances of that place in their shard. */
static bool do_spoil(struct farm *f, const struct words *w, struct str *out)
{
    static const char *const names[] = { [FARM_PROMOTE] = "promote",
                                         [FARM_ELSEWHERE] = "elsewhere",
                                         [FARM_DEMOTE] = "demote",
                                         [FARM_FORGET] = "forget" };
    struct change change = { .farm = f, .apply = apply_spoil, .index = -1 };
    if (w->count == 4 && !to_number(w->word[3], 0, (int64_t)farm_per_shard(f) - 1, &change.index)) {
        return false;
    }
    return (w->count == 3 || w->count == 4) && break_some(&change, names, ARRAY_LEN(names), w, out);
}

/* "kill COUNT", "revive COUNT" */
static bool do_kill(struct farm *f, const struct words *w, struct str *out)
{
    bool is_kill = strcmp(w->word[0], "kill") == 0;
    struct change change = { .farm = f, .apply = is_kill ? apply_kill : apply_revive };
    size_t want = 0;
    if (w->count != 2 || !to_count(f, w->word[1], &want)) {
        return false;
    }
    say_changed(&change, want, out);
    return true;
}

/* The killed instance NUMBER starts anew; one that runs goes on. */
static bool do_start(struct farm *f, const struct words *w, struct str *out)
{
    int64_t number = 0;
    if (w->count != 2 || !to_number(w->word[1], 0, (int64_t)f->count - 1, &number)) {
        return false;
    }
    str_printf(out, "ok %d", (int)farm_tree_revive(f, &f->redises[number]));
    return true;
}

/* "tree NET PORT [SERVERS [PARAMS]]": as a peer, without the gid. */
static bool do_tree(struct farm *f, const struct words *w, struct str *out)
{
    struct farm_peer_spec spec;
    if (!to_place(w, 1, &spec)) {
        return false;
    }
    farm_tree_give(f, &spec);
    str_puts(out, "ok");
    return true;
}

/* "latches HOSTS NAMESPACE FIRST_SHARD_ID" begins, "latches" tells how it goes. */
static bool do_latches(struct farm *f, const struct words *w, struct str *out)
{
    int64_t first_id = 0;
    struct xp_err err;
    if (w->count == 1) {
        farm_latches_json(f, out);
        return true;
    }
    if (w->count != 4 || !to_number(w->word[3], 1, INT32_MAX, &first_id)) {
        return false;
    }
    if (farm_latches_start(f, w->word[1], w->word[2], first_id, &err) != 0) {
        str_printf(out, "error %s", err.msg);
        return true;
    }
    str_puts(out, "ok");
    return true;
}

static bool do_fault(struct farm *f, const struct words *w, struct str *out)
{
    struct change change = { .farm = f, .apply = apply_fault };
    size_t want = 0;
    if (w->count != 3 || !to_count(f, w->word[2], &want)) {
        return false;
    }
    change.fault = farm_fault_of(w->word[1]);
    if (change.fault == SIZE_MAX) {
        str_printf(out, "error unknown fault; known: %s", farm_fault_names());
        return true;
    }
    say_changed(&change, want, out);
    return true;
}

static bool do_delay(struct farm *f, const struct words *w, struct str *out)
{
    struct change change = { .farm = f, .apply = apply_delay };
    size_t want = 0;
    if (w->count != 3 || !to_number(w->word[1], 0, AFTER_MAX_MS, &change.delay_ms) ||
        !to_count(f, w->word[2], &want)) {
        return false;
    }
    say_changed(&change, want, out);
    return true;
}

static bool do_role(struct farm *f, const struct words *w, struct str *out)
{
    struct change change = { .farm = f, .apply = apply_role };
    size_t want = 0;
    if (w->count != 3 || !to_count(f, w->word[2], &want) ||
        (strcmp(w->word[1], "slave") != 0 && strcmp(w->word[1], "master") != 0)) {
        return false;
    }
    change.is_slave = w->word[1][0] == 's';
    say_changed(&change, want, out);
    return true;
}

static bool do_drop(struct farm *f, const struct words *w, struct str *out)
{
    (void)w;
    farm_server_drop(f, NULL);
    str_puts(out, "ok");
    return true;
}

static bool do_show(struct farm *f, const struct words *w, struct str *out)
{
    int64_t number = 0;
    if (w->count != 2 || !to_number(w->word[1], 0, (int64_t)f->count - 1, &number)) {
        return false;
    }
    struct farm_redis *r = &f->redises[number];
    struct str text = STR_INIT(REPLY_MAX);
    if (r->node) {
        farm_node_info(r->node, "replication", loop_now(f->loop), &text);
    } else {
        const struct str *info = farm_redis_info(r, loop_now(f->loop));
        str_add(&text, info->buf, info->len);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.buf[i] != '\r') {
            str_putc(out, text.buf[i] == '\n' ? '|' : text.buf[i]);
        }
    }
    str_done(&text);
    return true;
}

static bool do_reset(struct farm *f, const struct words *w, struct str *out)
{
    (void)w;
    farm_report_reset(f);
    str_puts(out, "ok");
    return true;
}

static bool do_report(struct farm *f, const struct words *w, struct str *out)
{
    (void)w;
    farm_report_json(f, out);
    return true;
}

static bool do_clients(struct farm *f, const struct words *w, struct str *out)
{
    (void)w;
    farm_clients_json(f, out);
    return true;
}

static bool do_gaps(struct farm *f, const struct words *w, struct str *out)
{
    (void)w;
    farm_gaps_json(f, out);
    return true;
}

/* "lost CLIENT" begins, "lost" tells how it goes. */
static bool do_lost(struct farm *f, const struct words *w, struct str *out)
{
    if (w->count == 2 && !farm_client_lost(f, w->word[1])) {
        str_puts(out, "error no client gave that name");
        return true;
    }
    if (w->count <= 2) {
        farm_lost_json(f, out);
    }
    return w->count <= 2;
}

static bool do_peerofs(struct farm *f, const struct words *w, struct str *out)
{
    int64_t from = 0;
    if (w->count != 2 || !to_number(w->word[1], 0, INT64_MAX, &from)) {
        return false;
    }
    farm_peerofs_json(f, (uint64_t)from, out);
    return true;
}

enum farms { OF_BOTH, OF_CRDT, OF_ONE_WAY }; /* kinds of farms that a line is for */

static const struct {
    const char *name;
    bool (*run)(struct farm *, const struct words *, struct str *out); /* false: wrong arguments */
    enum farms farms;
    const char *usage;
} verbs[] = {
    { "peer", do_peer, OF_CRDT, "peer GID NET PORT [SERVERS|- [PARAMS|-]]" },
    { "want", do_want, OF_CRDT, "want FROM TO GID NET PORT [SERVERS|- [PARAMS|-]]" },
    { "break", do_break, OF_CRDT, "break remove|endpoint|direct|any COUNT" },
    { "role", do_role, OF_CRDT, "role master|slave COUNT" },
    { "tree", do_tree, OF_ONE_WAY, "tree NET PORT [SERVERS|- [PARAMS|-]]" },
    { "spoil", do_spoil, OF_ONE_WAY, "spoil promote|elsewhere|demote|forget|any COUNT [INDEX]" },
    { "kill", do_kill, OF_ONE_WAY, "kill COUNT" },
    { "revive", do_kill, OF_ONE_WAY, "revive COUNT" },
    { "start", do_start, OF_ONE_WAY, "start NUMBER" },
    { "latches", do_latches, OF_ONE_WAY, "latches [HOSTS NAMESPACE FIRST_SHARD_ID]" },
    { "fault", do_fault, OF_BOTH, "fault NAME COUNT" },
    { "delay", do_delay, OF_BOTH, "delay MS COUNT" },
    { "drop", do_drop, OF_BOTH, "drop" },
    { "show", do_show, OF_BOTH, "show NUMBER" },
    { "reset", do_reset, OF_BOTH, "reset" },
    { "report", do_report, OF_BOTH, "report" },
    { "clients", do_clients, OF_BOTH, "clients" },
    { "gaps", do_gaps, OF_BOTH, "gaps" },
    { "lost", do_lost, OF_BOTH, "lost [CLIENT]" },
    { "peerofs", do_peerofs, OF_BOTH, "peerofs FROM" },
};

static bool is_for(const struct farm *f, enum farms farms)
{
    return farms == OF_BOTH || (farms == OF_ONE_WAY) == (f->tree != NULL);
}

/* ---- lines ---- */

static void later_free(struct later *l)
{
    loop_timer_stop(&l->timer);
    list_remove(&l->link);
    free(l->line);
    free(l);
}

static void later_fired(struct loop_timer *timer)
{
    struct later *l = CONTAINER_OF(timer, struct later, timer);
    AUTO_STR struct str out = STR_INIT(REPLY_MAX);
    farm_control_run(l->control->farm, l->line, &out);
    (void)printf("%s\n", str_text(&out));
    (void)fflush(stdout);
    later_free(l);
}

/* "after MS LINE" */
static void run_later(struct farm *f, const char *rest, struct str *out)
{
    size_t digits = strspn(rest, "0123456789");
    int64_t delay_ms = 0;
    if (rest[digits] != ' ' || !text_to_i64(rest, digits, 0, AFTER_MAX_MS, &delay_ms)) {
        str_puts(out, "error usage: after MS LINE");
        return;
    }
    struct later *l = xcalloc(1, sizeof(*l));
    l->control = f->control;
    l->line = xstrdup(rest + digits + 1);
    loop_timer_init(&l->timer, f->loop, later_fired);
    loop_timer_start(&l->timer, delay_ms);
    list_push_back(&f->control->later, &l->link);
    str_puts(out, "ok");
}

static struct words split(char *line)
{
    struct words w = { 0 };
    for (char *at = line; w.count < WORDS_MAX;) {
        at += strspn(at, " \t\r");
        if (*at == '\0') {
            break;
        }
        w.word[w.count++] = at;
        at += strcspn(at, " \t\r");
        if (*at) {
            *at++ = '\0';
        }
    }
    return w;
}

void farm_control_run(struct farm *f, char *line, struct str *out)
{
    if (text_has_prefix(line, "after ")) {
        run_later(f, line + 6, out);
        return;
    }
    struct words w = split(line);
    for (size_t i = 0; w.count > 0 && i < ARRAY_LEN(verbs); i++) {
        if (strcmp(w.word[0], verbs[i].name) == 0 && is_for(f, verbs[i].farms)) {
            if (!verbs[i].run(f, &w, out)) {
                str_printf(out, "error usage: %s", verbs[i].usage);
            }
            return;
        }
    }
    str_puts(out, "error known: after");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (is_for(f, verbs[i].farms)) {
            str_printf(out, ", %s", verbs[i].name);
        }
    }
}

int farm_control_run_file(struct farm *f, const char *path, struct xp_err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return xp_fail(err, XP_NOT_FOUND, "script '%s': %s", path, strerror(errno));
    }
    char line[LINE_MAX_BYTES];
    int rc = 0;
    for (int number = 1; rc == 0 && fgets(line, sizeof(line), file); number++) {
        AUTO_STR struct str out = STR_INIT(REPLY_MAX);
        line[strcspn(line, "#\n")] = '\0';
        if (line[strspn(line, " \t\r")] == '\0') {
            continue;
        }
        farm_control_run(f, line, &out);
        if (text_has_prefix(str_text(&out), "error")) {
            rc = xp_fail(err, XP_INVALID, "script '%s' line %d: %s", path, number, str_text(&out));
        }
    }
    (void)fclose(file);
    return rc;
}

/* ---- the port ---- */

static void client_free(struct client *c)
{
    loop_io_stop(&c->io);
    list_remove(&c->link);
    (void)close(c->io.fd);
    str_done(&c->in);
    c->control->client_count--;
    free(c);
}

/* False: the connection failed. Answers are far smaller than a socket's buffer. */
static bool run_line(struct client *c, char *line)
{
    AUTO_STR struct str out = STR_INIT(REPLY_MAX);
    farm_control_run(c->control->farm, line, &out);
    str_putc(&out, '\n');
    return send(c->io.fd, out.buf, out.len, MSG_NOSIGNAL) == (ssize_t)out.len;
}

static void client_ready(struct loop_io *io, int events)
{
    (void)events;
    struct client *c = CONTAINER_OF(io, struct client, io);
    char bytes[LINE_MAX_BYTES];
    ssize_t n = recv(io->fd, bytes, sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0) {
        str_add(&c->in, bytes, (size_t)n);
    }
    bool ok = n > 0 && !c->in.overflow;
    char *end = NULL;
    while (ok && c->in.len > 0 && (end = memchr(c->in.buf, '\n', c->in.len)) != NULL) {
        *end = '\0';
        ok = run_line(c, c->in.buf);
        size_t left = c->in.len - (size_t)(end + 1 - c->in.buf);
        memmove(c->in.buf, end + 1, left);
        c->in.len = left;
    }
    if (!ok) {
        client_free(c);
    }
}

static void accept_ready(struct loop_io *io, int events)
{
    (void)events;
    struct farm_control *control = CONTAINER_OF(io, struct farm_control, io);
    int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (control->client_count == CLIENTS_MAX) {
        (void)close(fd);
        return;
    }
    struct client *c = xcalloc(1, sizeof(*c));
    c->control = control;
    c->in = STR_INIT(2 * LINE_MAX_BYTES);
    loop_io_init(&c->io, control->farm->loop, fd, client_ready);
    loop_io_want(&c->io, LOOP_READ);
    list_push_back(&control->clients, &c->link);
    control->client_count++;
}

int farm_control_start(struct farm *f, int port, struct xp_err *err)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (const struct sockaddr *)&in, sizeof(in)) != 0 || listen(fd, CLIENTS_MAX) != 0) {
        int rc = xp_fail(err, XP_IO, "control port %d: %s", port, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return rc;
    }
    struct farm_control *control = xcalloc(1, sizeof(*control));
    control->farm = f;
    list_init(&control->clients);
    list_init(&control->later);
    loop_io_init(&control->io, f->loop, fd, accept_ready);
    loop_io_want(&control->io, LOOP_READ);
    f->control = control;
    return 0;
}

void farm_control_stop(struct farm *f)
{
    if (!f->control) {
        return;
    }
    list_for_each (at, &f->control->clients) {
        client_free(LIST_ENTRY(at, struct client, link));
    }
    list_for_each (at, &f->control->later) {
        later_free(LIST_ENTRY(at, struct later, link));
    }
    loop_io_stop(&f->control->io);
    (void)close(f->control->io.fd);
    free(TAKE(f->control));
}
