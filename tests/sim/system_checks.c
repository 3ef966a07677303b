/* system_checks.c - see system_checks.h. */
#include "shared/switch/fence.h"
#include "tests/sim/system_checks.h"

#include <stdio.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/system_trace.h"

#include "shared/base/banned.h"

/* between a token and its command: ROLE, and a Redis that is slow to answer it */
#define SLACK_MS    4000
#define FIRST_TRIES 3 /* that a Redis refuses, before pauses count */
/* more for each change of what is wanted: own master, the other's, document, push */
#define TRIES_EACH      4
#define LINK_SETTLED_MS 3000
#define FULL_CHECK_MS   1000
#define HOLD            "the hold of an isolated DC" /* which waits for no migration */
#define HELD            "2147483647"

struct bucket {
    int64_t milli;
    mono_ms filled_at;
};

struct known_cluster {
    int64_t version;      /* 0: not known */
    int64_t gone_version; /* it went away at that version */
};

/* A poll asks for ROLE and CRDT.INFO together; a ROLE by itself is the look right before a command. */
struct question {
    mono_ms role_at;
    bool is_open; /* a ROLE was sent, and nothing after it yet */
    bool is_asked;
};

struct member_memory { /* of one run of a process */
    uint64_t seq;
    int64_t version;
    mono_ms confirmed_at;
    int64_t documented; /* version of the last document, when nothing of it was held back */
    struct known_cluster known[CONSOLE_CLUSTERS];
    mono_ms migrating_since[SYSTEM_PLACES]; /* as the member knows; MONO_FOREVER: not */
    struct bucket correct;
    struct bucket cut;
    struct question questions[SYSTEM_PLACES][SYSTEM_SHARDS][SYSTEM_REDISES];
};

struct insisting { /* refusals of one Redis to one member */
    int tries;
    mono_ms since;
    int64_t changes; /* when the first was refused */
};

static struct {
    struct system *system;
    struct member_memory members[SYSTEM_DCS][SYSTEM_PROCESSES];
    mono_ms blur_until[SYSTEM_DCS];
    mono_ms accepted_until;
    mono_ms full_check_at;
    int owner[SYSTEM_DCS][SYSTEM_PLACES];
    /* the latest time of sending of what arrived at a shard, per member */
    mono_ms sent_at[SYSTEM_PLACES][SYSTEM_DCS][SYSTEM_SHARDS][SYSTEM_PROCESSES];
    struct insisting insisting[SYSTEM_PLACES][SYSTEM_DCS][SYSTEM_SHARDS][SYSTEM_PROCESSES];
    int64_t changes[SYSTEM_PLACES];
    char records[SYSTEM_DCS][SLOT_COUNT][SLOT_TEXT_MAX]; /* as last written */
} checks;

static const char *name_of(const struct system_member *m)
{
    static char text[2][32];
    static int turn;
    turn = !turn;
    (void)snprintf(text[turn], sizeof(text[turn]), "%s.%d", system_dcs[m->dc], m->index);
    return text[turn];
}

static struct member_memory *memory_of(const struct system_member *m)
{
    return &checks.members[m->dc][m->index];
}

static void forget_place(int dc, int place)
{
    checks.owner[dc][place] = -1;
    for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            checks.sent_at[place][dc][shard][i] = MONO_NEVER;
        }
    }
}

void checks_reset(struct system *s)
{
    memset(&checks, 0, sizeof(checks));
    checks.system = s;
    checks.accepted_until = MONO_NEVER;
    checks.full_check_at = MONO_NEVER;
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        checks.blur_until[dc] = MONO_NEVER;
        for (int place = 0; place < SYSTEM_PLACES; place++) {
            forget_place(dc, place);
        }
    }
}

void checks_member_started(const struct system_member *m)
{
    struct member_memory *memory = memory_of(m);
    memset(memory, 0, sizeof(*memory));
    const struct system_config *c = &m->system->config;
    memory->correct =
        (struct bucket){ c->correct_rate * (1000 + SLACK_MS) + 1000, clock_mono_ms() };
    memory->cut = (struct bucket){ c->cut_rate * (1000 + SLACK_MS) + 1000, clock_mono_ms() };
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        memory->migrating_since[place] = MONO_FOREVER;
    }
}

void checks_blur(struct system *s, int dc, int64_t ms)
{
    mono_ms until = clock_mono_ms() + ms + s->config.session_ms;
    if (until > checks.blur_until[dc]) {
        checks.blur_until[dc] = until;
    }
}

static bool is_blurred(int dc)
{
    return clock_mono_ms() < checks.blur_until[dc];
}

void checks_changed(int place)
{
    checks.changes[place]++;
}

void checks_accepted(struct system *s)
{
    checks.accepted_until = clock_mono_ms() + 2 * s->config.refresh_ms;
}

void checks_push_taken(int dc, const char *cluster, int64_t version, void *system)
{
    (void)system;
    trace_event("push of %s is taken by %s: version %lld", cluster ? cluster : "the document",
                system_dcs[dc], (long long)version);
}

/* ---- owners ---- */

static bool owns(const struct system_member *m, int slot)
{
    return m->daemon && sharding_owns(m->app->sharding, slot, clock_mono_ms());
}

/* The index of the owner, -1 for none. */
static int check_one_owner(struct system *s, int dc, int slot)
{
    int owner = -1;
    for (int i = 0; i < SYSTEM_PROCESSES; i++) {
        if (!owns(&s->members[dc][i], slot)) {
            continue;
        }
        if (owner >= 0 && !is_blurred(dc)) {
            trace_fail("two-owners", "slot %d of %s is owned by %d and %d", slot, system_dcs[dc],
                       owner, i);
        }
        owner = i;
    }
    return owner;
}

static void check_owners(struct system *s, int dc)
{
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        int slot = slot_of_cluster(s->cluster_id[place]);
        int owner = check_one_owner(s, dc, slot);
        if (owner != checks.owner[dc][place]) {
            trace_event("slot %d of %s (c%d): owner %d, was %d", slot, system_dcs[dc], place, owner,
                        checks.owner[dc][place]);
            checks.owner[dc][place] = owner;
            checks_changed(place);
        }
    }
}

/* What ZooKeeper itself says now, past all that members know. */
static bool is_record_of(struct system *s, int dc, int slot, int64_t id)
{
    AUTO_FREE char *path = xasprintf("/xpipe/metaserver/slots/%d", slot);
    const char *data = fake_zk_node(s->zk[dc], path);
    struct slot record;
    struct xp_err err;
    return data && slot_parse(data, strlen(data), &record, &err) == 0 && record.server_id == id;
}

/* ---- documents ---- */

static bool is_accepted(void)
{
    return clock_mono_ms() < checks.accepted_until;
}

static void check_cluster(const struct system_member *m, size_t index, bool is_push, int *vanished)
{
    const struct member_memory *memory = memory_of(m);
    struct console_cluster *c = fake_console_cluster(m->system->console, index);
    struct known_cluster *k = &memory_of(m)->known[index];
    const struct dc_store *store = m->app->store;
    const struct cluster_meta *now = dc_store_cluster_by_id(store, c->id);
    bool is_wanted = !c->is_deleted && (c->dcs & 1U << m->dc);
    if (now && now->version <= k->gone_version && !is_accepted()) {
        trace_fail("versions",
                   "%s: cluster %s (id %lld) is back with version %lld, it went at %lld",
                   name_of(m), c->name, (long long)c->id, (long long)now->version,
                   (long long)k->gone_version);
    }
    if (now && now->version < k->version && !is_accepted()) {
        trace_fail("versions", "%s: cluster %s (id %lld) goes from version %lld back to %lld",
                   name_of(m), c->name, (long long)c->id, (long long)k->version,
                   (long long)now->version);
    }
    if (now && is_push && now->version != k->version && now->version < memory->documented &&
        !is_accepted()) {
        trace_fail("versions",
                   "%s: a push puts cluster %s at version %lld over the document of %lld",
                   name_of(m), c->name, (long long)now->version, (long long)memory->documented);
    }
    if (!now && k->version > 0) {
        int64_t version = dc_store_version(store);
        k->gone_version = is_wanted ? 0 : version < c->version ? version : c->version;
        *vanished += is_wanted;
    }
    k->version = now ? now->version : 0;
}

static void note_migration(const struct system_member *m, struct member_memory *memory, int place,
                           struct console_cluster *c)
{
    const struct cluster_meta *now = dc_store_cluster_by_id(m->app->store, c->id);
    bool is_migrating = now && fake_console_was_migrating(m->system->console, c->id, now->version);
    mono_ms *since = &memory->migrating_since[place];
    if (!is_migrating) {
        *since = MONO_FOREVER;
    } else if (*since == MONO_FOREVER) {
        *since = clock_mono_ms();
    }
}

static void check_document(const struct system_member *m)
{
    struct member_memory *memory = memory_of(m);
    const struct dc_store *store = m->app->store;
    int64_t version = dc_store_version(store);
    if (memory->seq == dc_store_seq(store) && memory->version == version &&
        memory->confirmed_at == dc_store_confirmed_at(store)) {
        return;
    }
    if (version < memory->version && !is_accepted()) {
        trace_fail("versions", "%s: the document goes from version %lld back to %lld", name_of(m),
                   (long long)memory->version, (long long)version);
    }
    bool is_push = memory->seq != dc_store_seq(store);
    bool is_document = !is_push && version != memory->version; /* else one that was confirmed */
    memory->seq = dc_store_seq(store);
    memory->version = version;
    memory->confirmed_at = dc_store_confirmed_at(store);
    int vanished = 0;
    struct console_cluster *c;
    for (size_t i = 0; (c = fake_console_cluster(m->system->console, i)); i++) {
        check_cluster(m, i, is_push, &vanished);
        if (c->id == m->system->cluster_id[c->place]) {
            note_migration(m, memory, c->place, c);
        }
    }
    if (is_document) {
        memory->documented = dc_store_held_count(store) == 0 ? version : 0;
    }
    if (!is_push && vanished > m->system->config.removal_limit && !is_accepted()) {
        trace_fail("brakes", "%s: one document takes away %d clusters", name_of(m), vanished);
    }
}

void checks_step(void *system)
{
    struct system *s = system;
    bool is_full = clock_mono_ms() >= checks.full_check_at;
    trace_mix((uint64_t)clock_mono_ms());
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        check_owners(s, dc);
        for (int slot = 0; is_full && slot < SLOT_COUNT; slot++) {
            (void)check_one_owner(s, dc, slot);
        }
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            if (s->members[dc][i].daemon) {
                check_document(&s->members[dc][i]);
            }
        }
    }
    const char *doubled = is_full ? system_tree_doubled(s) : NULL;
    if (doubled) {
        trace_fail("two-masters", "%s: two of them take writes", doubled);
    }
    checks.full_check_at = is_full ? clock_mono_ms() + FULL_CHECK_MS : checks.full_check_at;
}

/* ---- the leader ---- */

/* A member writes records, too: to claim one that names it, it writes it again as it is. */
static bool is_claim(struct system *s, int dc, int slot, const char *before, int64_t session)
{
    struct slot record;
    struct xp_err err;
    const char *now = fake_zk_node(s->zk[dc], log_fmt("/xpipe/metaserver/slots/%d", slot));
    if (!now || !text_eq(now, before) || slot_parse(now, strlen(now), &record, &err) != 0) {
        return false;
    }
    for (int i = 0; i < SYSTEM_PROCESSES; i++) {
        const struct system_member *m = &s->members[dc][i];
        const struct zk *zk = m->daemon ? sharding_zk(m->app->sharding) : NULL;
        if (zk && zk_session_id(zk) == session) {
            return m->id == record.server_id;
        }
    }
    return true; /* nobody's any more: killed, or expired, while the write was on its way */
}

static void check_writer(struct system *s, int dc, int slot, int64_t session)
{
    int64_t first = fake_zk_first_owner(s->zk[dc], "/xpipe/metaserver/leader");
    if (first != session && !is_blurred(dc) &&
        !is_claim(s, dc, slot, checks.records[dc][slot], session)) {
        trace_fail("leader", "slot %d of %s is written by session %lld, the leader's is %lld", slot,
                   system_dcs[dc], (long long)session, (long long)first);
    }
}

void checks_zk_changed(const char *path, int64_t session, void *zk_dc)
{
    static const char slots[] = "/xpipe/metaserver/slots/";
    int dc = *(const int *)zk_dc;
    int64_t slot;
    if (!text_has_prefix(path, slots) ||
        !text_to_i64(path + strlen(slots), strlen(path + strlen(slots)), 0, SLOT_COUNT - 1,
                     &slot)) {
        return;
    }
    struct system *s = checks.system;
    const char *now = fake_zk_node(s->zk[dc], path);
    if (session != 0) {
        check_writer(s, dc, (int)slot, session);
    }
    (void)snprintf(checks.records[dc][slot], sizeof(checks.records[dc][slot]), "%s",
                   now ? now : "");
}

/* ---- commands, when they are sent ---- */

static bool is_reading(size_t argc, const char *const *argv)
{
    static const char *const words[] = { "ROLE", "INFO", "CRDT.INFO", "CLIENT" };
    if ((argc == 2 && text_eq_nocase(argv[1], "GETSTATE")) ||
        (argc == 3 && text_eq_nocase(argv[1], "GET")) ||
        (argc == 2 &&
         text_has_prefix(argv[1], FENCE_PROBE_KEY_PREFIX))) { /* of what is not there */
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (text_eq_nocase(argv[0], words[i])) {
            return true;
        }
    }
    return false;
}

static void check_sender(struct system *s, const struct system_member *m, int place,
                         const char *word)
{
    mono_ms now = clock_mono_ms();
    AUTO_FREE char *name = xasprintf("c%d", place);
    const struct cluster_meta *c = dc_store_cluster(m->app->store, name);
    if (!c) {
        trace_fail("owner", "%s sends %s for %s, which it does not know", name_of(m), word, name);
        return;
    }
    int slot = slot_of_cluster(c->db_id);
    if (!owns(m, slot)) {
        trace_fail("owner", "%s sends %s for %s without owning slot %d", name_of(m), word, name,
                   slot);
    }
    if (!is_blurred(m->dc) && !is_record_of(s, m->dc, slot, m->id)) {
        trace_fail("owner", "%s sends %s for %s, slot %d is another's in ZooKeeper", name_of(m),
                   word, name, slot);
    }
    if (m->thawed_at != MONO_NEVER && now - m->thawed_at < s->config.hold_ms) {
        trace_fail("hold-down", "%s sends %s %lld ms after it stood still", name_of(m), word,
                   (long long)(now - m->thawed_at));
    }
    if (m->is_terminating) {
        trace_fail("draining", "%s sends %s while it drains", name_of(m), word);
    }
    if (memory_of(m)->migrating_since[place] < now && !text_eq(word, HOLD)) {
        trace_fail("migration", "%s sends %s for %s, which is under migration", name_of(m), word,
                   name);
    }
}

/* What waited for its ROLE while the member stood still is sent together afterwards: not counted. */
static bool take(const struct system_member *m, struct bucket *b, int64_t rate)
{
    int64_t most = rate * (1000 + SLACK_MS) + 1000;
    mono_ms now = clock_mono_ms();
    if (mono_age(now, m->woken_at) < 2 * SLACK_MS) {
        b->filled_at = now;
        return true;
    }
    b->milli += (now - b->filled_at) * rate;
    b->milli = b->milli < most ? b->milli : most;
    b->filled_at = now;
    b->milli -= 1000;
    return b->milli >= 0;
}

static bool is_removal(size_t argc, const char *const *argv)
{
    return argc >= 3 && text_eq_nocase(argv[2], "no");
}

static struct question *question_of(const struct system_member *m, const struct system_redis *r)
{
    return &memory_of(m)->questions[r->place][r->shard][r->index];
}

static void note_question(const struct system_member *m, const struct system_redis *r,
                          const char *word)
{
    struct question *q = question_of(m, r);
    bool is_poll = text_eq_nocase(word, "CRDT.INFO") && q->role_at == clock_mono_ms();
    q->is_asked |= q->is_open && !is_poll;
    q->is_open = text_eq_nocase(word, "ROLE");
    q->role_at = q->is_open ? clock_mono_ms() : q->role_at;
}

void checks_command_sent(struct system *s, struct system_member *m, struct system_redis *r,
                         size_t argc, const char *const *argv)
{
    if (!m || !r) {
        trace_fail("harmful", "%s is sent by nobody, or to nobody", argv[0]);
        return;
    }
    if (is_reading(argc, argv)) {
        note_question(m, r, argv[0]);
        return;
    }
    struct member_memory *memory = memory_of(m);
    check_sender(s, m, r->place, argv[0]);
    if (!text_eq_nocase(argv[0], "PEEROF")) {
        return;
    }
    struct question *q = question_of(m, r);
    if (!q->is_asked && !q->is_open) {
        trace_fail("asked", "%s sends PEEROF to %s without asking for its role", name_of(m),
                   ADDR_TEXT(&r->crdt.addr));
    }
    q->is_asked = q->is_open = false;
    if (!is_removal(argc, argv) && !take(m, &memory->correct, s->config.correct_rate)) {
        trace_fail("budget", "%s sends more than %lld corrections a second", name_of(m),
                   (long long)s->config.correct_rate);
    }
}

/* ---- commands, when they arrive ---- */

static bool is_known_route(const char *servers, const char *params)
{
    struct xp_err err;
    struct route got;
    struct route given;
    if (route_parse_parts(servers, strlen(servers), params, params ? strlen(params) : 0, &got,
                          &err) != 0) {
        return false;
    }
    for (size_t i = 0; i < SYSTEM_ROUTE_TEXTS; i++) {
        const char *text = system_route_texts[i];
        if (route_parse(text, strlen(text), &given, &err) == 0 && route_eq(&got, &given)) {
            return true;
        }
    }
    return false;
}

static void check_target(struct system *s, struct system_redis *r, size_t argc,
                         const char *const *argv)
{
    int64_t gid = 0;
    int64_t port = 0;
    (void)text_to_i64(argv[1], strlen(argv[1]), 1, 15, &gid);
    (void)text_to_i64(argv[3], strlen(argv[3]), 1, 65535, &port);
    struct addr addr = addr_of(argv[2], (int)port);
    const struct system_redis *to = system_redis_at(s, &addr);
    if (!to || to->dc == r->dc || SYSTEM_GID(to->dc) != gid || to->place != r->place ||
        to->shard != r->shard) {
        trace_fail("target", "PEEROF %s %s:%s to %s", argv[1], argv[2], argv[3],
                   ADDR_TEXT(&r->crdt.addr));
    }
    if (argc <= 4 && s->is_routed[r->dc]) {
        trace_fail("route", "%s goes direct, there is a route", ADDR_TEXT(&r->crdt.addr));
    }
    if (argc > 4 && !is_known_route(argv[7], argc > 9 ? argv[9] : NULL)) {
        trace_fail("route", "%s goes by %s, which nobody gave", ADDR_TEXT(&r->crdt.addr), argv[7]);
    }
}

static void check_removal(struct system *s, struct system_redis *r, const char *gid_text)
{
    const struct console_cluster *c = system_cluster(s, r->place);
    int64_t needed_ms = (s->config.removal_verdicts - 1) * s->config.removal_gap_ms;
    bool is_stranger = strtol(gid_text, NULL, 10) == SYSTEM_STRANGER;
    mono_ms now = clock_mono_ms();
    mono_ms since = is_stranger ? r->stranger_since : s->left_at[r->place];
    if (!s->config.removes_peers) {
        trace_fail("removal", "peer %s of %s is removed, that is off", gid_text,
                   ADDR_TEXT(&r->crdt.addr));
    } else if (since == MONO_NEVER || now - since < needed_ms) {
        trace_fail("removal", "peer %s of %s is removed without its verdicts", gid_text,
                   ADDR_TEXT(&r->crdt.addr));
    } else if (!is_stranger && c && c->dcs == 3 &&
               now - s->joined_at[r->place] > 3 * s->config.refresh_ms) {
        trace_fail("removal", "peer %s of %s is removed, it is wanted", gid_text,
                   ADDR_TEXT(&r->crdt.addr));
    }
}

/* The same address, and the same way to it but for the near proxies, of which one in use may stay. */
static bool is_kept(const struct fake_crdt_peer *p, size_t argc, const char *const *argv)
{
    const char *params = argc > 9 ? argv[9] : NULL;
    return text_eq(p->addr.host, argv[2]) && (p->servers != NULL) == (argc > 4) &&
           (params ? text_eq(p->params, params) : !p->params);
}

static void check_cut(struct system *s, const struct system_member *m, struct system_redis *r,
                      size_t argc, const char *const *argv)
{
    const struct fake_crdt_peer *p = &r->crdt.peers[strtol(argv[1], NULL, 10)];
    bool was_up = p->is_set && r->crdt.is_master && p->up_at <= clock_mono_ms() - LINK_SETTLED_MS;
    if (m && was_up && !is_kept(p, argc, argv) &&
        !take(m, &memory_of(m)->cut, s->config.cut_rate)) {
        trace_fail("budget", "%s cuts more than %lld links a second", name_of(m),
                   (long long)s->config.cut_rate);
    }
}

static void check_insisting(struct system *s, const struct system_member *m, struct system_redis *r)
{
    bool is_refused = r->crdt.trick == FAKE_CRDT_REFUSES || r->crdt.trick == FAKE_CRDT_PRETENDS;
    struct insisting *i = &checks.insisting[r->place][r->dc][r->shard][m->index];
    if (!is_refused) {
        i->tries = 0;
        return;
    }
    if (i->tries++ == 0) {
        i->since = clock_mono_ms();
        i->changes = checks.changes[r->place];
        return;
    }
    int64_t most = FIRST_TRIES + TRIES_EACH * (checks.changes[r->place] - i->changes) +
                   (clock_mono_ms() - i->since) / (s->config.backoff_first_ms / 2);
    if (i->tries > most) {
        trace_fail("insisting", "%s sends the %dth PEEROF to %s, which does not take it",
                   name_of(m), i->tries, ADDR_TEXT(&r->crdt.addr));
    }
}

/* Commands to one shard by different members: in the order in which they were sent. */
static void check_order(const struct system_member *m, mono_ms *sent, const struct addr *to,
                        mono_ms sent_at)
{
    for (int i = 0; i < SYSTEM_PROCESSES && !is_blurred(m->dc); i++) {
        if (i != m->index && sent[i] > sent_at) {
            trace_fail("order", "what %s sent arrives at %s after a later command of %s.%d",
                       name_of(m), ADDR_TEXT(to), system_dcs[m->dc], i);
        }
    }
    sent[m->index] = sent_at > sent[m->index] ? sent_at : sent[m->index];
}

static char *words_text(size_t argc, const char *const *argv)
{
    struct str text = STR_INIT(1024);
    for (size_t i = 0; i < argc; i++) {
        str_printf(&text, "%s%s", i ? " " : "", argv[i]);
    }
    return str_take(&text);
}

bool checks_command_arrived(struct system *s, struct system_redis *r, size_t argc,
                            const char *const *argv)
{
    struct xp_err err = { 0 };
    if (is_reading(argc, argv)) {
        return true;
    }
    const struct fake_redis_origin *origin = fake_redis_origin();
    const struct system_member *m = system_member_of(s, origin->client);
    AUTO_FREE char *words = words_text(argc, argv);
    trace_event("%s gets from %s: %s", ADDR_TEXT(&r->crdt.addr), m ? name_of(m) : "the dead",
                words);
    if (m) {
        check_order(m, checks.sent_at[r->place][r->dc][r->shard], &r->crdt.addr, origin->sent_at);
    }
    if (!text_eq_nocase(argv[0], "PEEROF")) {
        return true;
    }
    if (peerof_check_words(argc, argv, r->crdt.gid, &err) != 0) {
        trace_fail("harmful", "%s: %s", words, err.msg);
        return false;
    }
    if (is_removal(argc, argv)) {
        check_removal(s, r, argv[1]);
    } else {
        check_target(s, r, argc, argv);
        check_cut(s, m, r, argc, argv);
    }
    if (m) {
        check_insisting(s, m, r);
    }
    return true;
}

/* ---- one-way clusters ---- */

static bool is_hold(size_t argc, const char *const *argv)
{
    return argc == 4 && text_eq_nocase(argv[0], "CONFIG") &&
           text_has_prefix(argv[2], "min-slaves-");
}

/* The record first: its next owner has to know of it. */
static void check_record_of_hold(struct system *s, const struct system_member *m,
                                 const struct system_instance *instance)
{
    int64_t id = s->cluster_id[instance->place];
    AUTO_FREE char *path = xasprintf("/xpipe/switchover/%lld/%lld", (long long)id,
                                     (long long)id * 10 + instance->shard);
    const char *record = fake_zk_node(s->zk[m->dc], path);
    if (!is_blurred(m->dc) && (!record || !strstr(record, "\"held\""))) {
        trace_fail("isolation", "%s holds %s, and its record does not say so", name_of(m),
                   ADDR_TEXT(&instance->replica->addr));
    }
}

void checks_instance_sent(struct system *s, struct system_member *m,
                          const struct system_instance *instance, size_t argc,
                          const char *const *argv)
{
    if (!m) {
        trace_fail("harmful", "%s is sent by nobody", argv[0]);
    } else if (!is_reading(argc, argv)) {
        bool is_isolation =
            is_hold(argc, argv) && instance->dc == SYSTEM_PRIMARY && text_eq(argv[3], HELD);
        check_sender(s, m, instance->place, is_isolation ? HOLD : argv[0]);
        if (is_isolation) {
            check_record_of_hold(s, m, instance);
        }
        if (m->dc != instance->dc) {
            trace_fail("owner", "%s sends %s into the other DC", name_of(m), argv[0]);
        }
    }
}

/* What an instance may follow: of its shard, and not itself; 'dc' where that must be. */
static void check_upstream(struct system *s, const struct system_instance *instance, int dc,
                           const char *host, const char *port, const char *words)
{
    int64_t number = 0;
    struct system_instance to;
    (void)text_to_i64(port, strlen(port), 1, 65535, &number);
    struct addr addr = addr_of(host, (int)number);
    bool is_known = system_instance_at(s, &addr, &to);
    if (!is_known || to.place != instance->place || to.shard != instance->shard || to.dc != dc ||
        to.replica == instance->replica) {
        trace_fail("target", "%s to %s", words, ADDR_TEXT(&instance->replica->addr));
    }
}

static void check_setstate(struct system *s, const struct system_instance *instance, size_t argc,
                           const char *const *argv, const char *words)
{
    bool is_active = argc >= 5 && text_eq(argv[2], "ACTIVE");
    bool is_across = is_active && instance->dc != SYSTEM_PRIMARY;
    if (!instance->replica->is_keeper || argc < 5 || (!is_active && !text_eq(argv[2], "BACKUP"))) {
        trace_fail("harmful", "%s to %s", words, ADDR_TEXT(&instance->replica->addr));
        return;
    }
    check_upstream(s, instance, is_active ? SYSTEM_PRIMARY : instance->dc, argv[3], argv[4], words);
    if (argc > 5 && !is_across) {
        trace_fail("route", "%s inside a DC", words);
    }
    if (argc == 5 && is_across && s->is_routed[instance->dc]) {
        trace_fail("route", "%s goes direct, there is a route", words);
    }
    if (argc > 5 && !is_known_route(argv[7], argc > 9 ? argv[8] : NULL)) {
        trace_fail("route", "%s: nobody gave it", words);
    }
}

static void check_slaveof(struct system *s, const struct system_instance *instance, size_t argc,
                          const char *const *argv, const char *words)
{
    if (instance->replica->is_keeper || instance->dc == SYSTEM_PRIMARY || argc != 3 ||
        text_eq_nocase(argv[1], "no")) {
        trace_fail("harmful", "%s to %s", words, ADDR_TEXT(&instance->replica->addr));
        return;
    }
    struct addr source = addr_of(argv[1], (int)strtol(argv[2], NULL, 10));
    const struct system_redis *redis = system_redis_at(s, &source);
    bool is_relay = instance->place == SYSTEM_PLAIN_PLACE && redis && redis->dc == SYSTEM_PRIMARY;
    check_upstream(s, instance, is_relay ? SYSTEM_PRIMARY : instance->dc, argv[1], argv[2], words);
    if (is_relay && s->is_routed[instance->dc]) {
        trace_fail("route", "%s goes direct, there is a route", words);
    }
    if (is_relay && instance->replica->priority != 0 && !instance->replica->has_kept_priority) {
        trace_fail("harmful", "%s: sentinels could promote this relay", words);
    }
}

/* Only where there are no keepers; nobody of the primary DC came from a backup DC. */
static void check_priority(const struct system_instance *instance, const char *value,
                           const char *words)
{
    if (instance->replica->is_keeper || instance->place != SYSTEM_PLAIN_PLACE ||
        instance->dc == SYSTEM_PRIMARY || !text_eq(value, "0")) {
        trace_fail("harmful", "%s to %s", words, ADDR_TEXT(&instance->replica->addr));
    }
}

/* Nobody switches here: only a stray master of a backup DC is held, and where DCs guard against isolation a master of the primary one. */
static void check_hold(const struct system *s, const struct system_instance *instance,
                       const char *words)
{
    bool is_guarded = instance->dc != SYSTEM_PRIMARY || s->config.isolation_s > 0;
    if (instance->replica->is_keeper || !is_guarded) {
        trace_fail("harmful", "%s to %s", words, ADDR_TEXT(&instance->replica->addr));
    }
}

void checks_instance_arrived(struct system *s, const struct system_instance *instance, size_t argc,
                             const char *const *argv)
{
    const struct fake_redis_origin *origin = fake_redis_origin();
    const struct system_member *m = system_member_of(s, origin->client);
    if (is_reading(argc, argv)) {
        return;
    }
    AUTO_FREE char *words = words_text(argc, argv);
    trace_event("%s gets from %s: %s", ADDR_TEXT(&instance->replica->addr),
                m ? name_of(m) : "the dead", words);
    if (m) {
        check_order(m, checks.sent_at[instance->place][instance->dc][instance->shard],
                    &instance->replica->addr, origin->sent_at);
    }
    if (text_eq_nocase(argv[0], "KEEPER")) {
        check_setstate(s, instance, argc, argv, words);
    } else if (text_eq_nocase(argv[0], "SLAVEOF") || text_eq_nocase(argv[0], "XSLAVEOF")) {
        check_slaveof(s, instance, argc, argv, words);
    } else if (fake_replica_is_priority(argc, argv)) {
        check_priority(instance, argv[3], words);
    } else if (is_hold(argc, argv)) {
        check_hold(s, instance, words);
    } else if (!text_eq_nocase(argv[0], "CONFIG")) {
        trace_fail("harmful", "%s to %s", words, ADDR_TEXT(&instance->replica->addr));
    }
}
