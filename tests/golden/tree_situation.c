/* tree_situation.c - see tree_situation.h. */
#include "shared/base/str.h"
#include "tests/golden/tree_situation.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define LINK_AGE_MS 60000
#define OTHER_ROUTE "PROXYTCP://9.9.9.9:80"

struct reader {
    struct tree_situation *s;
    struct tree_node node; /* the one that is being read */
    int64_t priority;
    int64_t container;
    bool is_extra;
    bool is_dead;
    struct xp_err *err;
};

/* ---- words ---- */

static int bad(struct reader *r, const char *node, const char *word)
{
    return xp_fail(r->err, XP_INVALID, "node '%s': what is '%s'?", node, word);
}

static int read_addr(struct reader *r, const char *text, struct addr *ret_addr)
{
    return addr_parse(text, strlen(text), ret_addr, r->err);
}

static bool is_number(const char *word, int64_t *ret_value)
{
    return text_to_i64(word, strlen(word), INT64_MIN, INT64_MAX, ret_value);
}

static bool is_flag(struct reader *r, const char *word)
{
    if (strcmp(word, "untried") == 0) {
        r->node.was_tried = false;
        r->node.role_at = MONO_NEVER;
        r->node.silent_since = SITUATION_NOW_MS;
    } else if (strcmp(word, "extra") == 0) {
        r->is_extra = true;
    } else if (strcmp(word, "dead") == 0) {
        r->is_dead = true;
    } else {
        return false;
    }
    return true;
}

static bool set_route(struct reader *r, const char *value)
{
    if (strcmp(value, "direct") == 0) {
        r->node.route_sent = "";
    } else if (strcmp(value, "same") == 0) {
        r->node.route_sent = r->s->facts.route_words;
    } else if (strcmp(value, "other") == 0) {
        r->node.route_sent = OTHER_ROUTE;
    } else {
        return false;
    }
    return true;
}

static bool set_number(struct reader *r, const char *key, size_t key_length, int64_t value)
{
    const struct {
        const char *key;
        int64_t *field;
        bool is_age;
    } keys[] = {
        { "link", &r->node.link_since, true },     { "age", &r->node.role_at, true },
        { "silent", &r->node.silent_since, true }, { "offset", &r->node.last_offset, false },
        { "prio", &r->priority, false },           { "container", &r->container, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strlen(keys[i].key) == key_length && memcmp(keys[i].key, key, key_length) == 0) {
            *keys[i].field = keys[i].is_age ? SITUATION_NOW_MS - value : value;
            return true;
        }
    }
    return false;
}

static bool is_setting(struct reader *r, const char *word)
{
    const char *value = strchr(word, '=');
    int64_t number = 0;
    if (!value) {
        return false;
    }
    size_t key_length = (size_t)(value++ - word);
    if (strncmp(word, "route=", 6) == 0) {
        return set_route(r, value);
    }
    if (strncmp(word, "state=", 6) == 0) {
        r->node.state = keeper_state_from_text(value);
        return r->node.state != KEEPER_UNSEEN;
    }
    if (!is_number(value, &number) || !set_number(r, word, key_length, number)) {
        return false;
    }
    if (strncmp(word, "silent=", 7) == 0) {
        r->node.role_at = MONO_NEVER;
    }
    return true;
}

/* ---- a node ---- */

static const char *const kinds[] = { "unknown", "master", "slave", "keeper" };

static bool is_kind(struct reader *r, const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(word, kinds[i]) == 0) {
            r->node.role.kind = (enum role_kind)i;
            r->node.role_at = SITUATION_NOW_MS;
            return true;
        }
    }
    return false;
}

/* The words of a role after its kind: [upstream link] [offset]. */
static int read_role_word(struct reader *r, const char *node, const char *word)
{
    struct redis_role *role = &r->node.role;
    enum role_link link = role_link_from_text(word);
    int64_t offset = -1;
    if (is_number(word, &offset)) {
        role->offset = r->node.last_offset = offset;
    } else if (link != ROLE_LINK_UNKNOWN) {
        role->link = link;
    } else if (strchr(word, ':')) {
        return read_addr(r, word, &role->master);
    } else if (strcmp(word, "nobody") != 0) {
        return bad(r, node, word);
    }
    return 0;
}

static int read_node(struct reader *r, const char *text, bool is_keeper)
{
    const char *cursor = text;
    const char *part;
    size_t length;
    int words = 0;
    r->priority = is_keeper ? 1 : PRIORITY_REFUSED;
    r->container = 0;
    r->is_extra = r->is_dead = false;
    r->node = (struct tree_node){ .is_keeper = is_keeper,
                                  .was_tried = true,
                                  .role_at = MONO_NEVER,
                                  .role = { .offset = -1 },
                                  .link_since = SITUATION_NOW_MS - LINK_AGE_MS,
                                  .silent_since = MONO_NEVER };
    while (text_next_part(&cursor, " ", &part, &length)) {
        AUTO_FREE char *word = xstrndup(part, length);
        int rc = 0;
        if (words++ == 0) {
            rc = read_addr(r, word, &r->node.addr);
        } else if (!is_flag(r, word) && !is_setting(r, word) && !is_kind(r, word)) {
            rc = read_role_word(r, text, word);
        }
        if (rc != 0) {
            return rc;
        }
    }
    bool says_something = r->node.role_at != MONO_NEVER || r->node.silent_since != MONO_NEVER;
    return says_something || r->is_dead ? 0 : bad(r, text, "neither role nor silence");
}

/* ---- the shard ---- */

static int read_redises(struct reader *r, const json_t *list)
{
    struct tree_situation *s = r->s;
    size_t i;
    json_t *text;
    json_array_foreach (list, i, text) {
        xp_check(i < TREE_REDIS_MAX);
        int rc = read_node(r, json_string_value(text), false);
        if (rc != 0) {
            return rc;
        }
        s->nodes[i] = r->node;
        s->nodes[i].priority = (int)r->priority;
        s->redises[i].addr = r->node.addr;
        s->facts.redis_count = s->facts.node_count = s->shard.redises.count = i + 1;
    }
    return 0;
}

static void elect(struct tree_situation *s)
{
    struct keeper_child children[SHARD_KEEPERS_MAX];
    char names[SHARD_KEEPERS_MAX][32];
    char data[SHARD_KEEPERS_MAX][128];
    size_t count = s->facts.node_count - s->facts.redis_count;
    for (size_t i = 0; i < count; i++) {
        const struct addr *addr = &s->nodes[s->facts.redis_count + i].addr;
        (void)snprintf(names[i], sizeof(names[i]), "_c_x-latch-%010zu", i);
        (void)snprintf(data[i], sizeof(data[i]), "{\"ip\":\"%s\",\"port\":%d}", addr->host,
                       addr->port);
        children[i] = (struct keeper_child){ ELECTION_BY_REPL, names[i], data[i], strlen(data[i]) };
    }
    keeper_elect(children, count, &s->shard, &s->election);
}

static void add_keeper(struct reader *r)
{
    struct tree_situation *s = r->s;
    if (!r->is_dead) {
        s->nodes[s->facts.node_count++] = r->node;
    }
    if (!r->is_extra) {
        s->keepers[s->shard.keepers.count++] = (struct keeper_meta){ .addr = r->node.addr,
                                                                     .priority = r->priority,
                                                                     .container_id = r->container };
    }
}

static int read_keepers(struct reader *r, const json_t *list)
{
    size_t i;
    json_t *text;
    xp_check(json_array_size(list) <= SHARD_KEEPERS_MAX);
    json_array_foreach (list, i, text) {
        int rc = read_node(r, json_string_value(text), true);
        if (rc != 0) {
            return rc;
        }
        add_keeper(r);
    }
    elect(r->s);
    return 0;
}

/* ---- what is around it ---- */

struct around {
    char *why;
    char *place;
    char *source;
    char *told;
    char *appointed;
    int64_t told_offset;
    char *relay;
    char *route;
    bool is_route_unusable;
    bool is_election_unknown;
    int64_t relay_lag_bytes;
    int64_t replica_priority;
    const json_t *redis;
    const json_t *keepers;
};

static int keep_list(const json_t *value, void *field, struct xp_err *err)
{
    if (!json_is_array(value)) {
        return xp_fail(err, XP_INVALID, "is no array");
    }
    *(const json_t **)field = value;
    return 0;
}

#define AROUND(member) offsetof(struct around, member)
/* clang-format off */
static const struct jfield around_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    { .name = "why", .type = JF_STRING, .offset = AROUND(why), .flags = JF_REQUIRED },
    { .name = "place", .type = JF_NAME, .offset = AROUND(place), .flags = JF_REQUIRED },
    { .name = "source", .type = JF_STRING, .offset = AROUND(source) },
    { .name = "appointed", .type = JF_STRING, .offset = AROUND(appointed) },
    { .name = "told", .type = JF_STRING, .offset = AROUND(told) },
    { .name = "told_offset", .type = JF_INT64, .offset = AROUND(told_offset) },
    { .name = "relay", .type = JF_STRING, .offset = AROUND(relay) },
    { .name = "route", .type = JF_STRING, .offset = AROUND(route) },
    { .name = "route_unusable", .type = JF_BOOL, .offset = AROUND(is_route_unusable) },
    { .name = "election_unknown", .type = JF_BOOL, .offset = AROUND(is_election_unknown) },
    { .name = "relay_lag_bytes", .type = JF_INT64, .offset = AROUND(relay_lag_bytes) },
    { .name = "replica_priority", .type = JF_INT64, .offset = AROUND(replica_priority) },
    { .name = "redis", .type = JF_CUSTOM, .offset = AROUND(redis), .flags = JF_REQUIRED, .decode = keep_list },
    { .name = "keepers", .type = JF_CUSTOM, .offset = AROUND(keepers), .decode = keep_list },
    { 0 },
};
/* clang-format on */

static int read_place(const char *text, enum tree_place *ret_place, struct xp_err *err)
{
    for (int p = TREE_OUTSIDE; p <= TREE_BACKUP; p++) {
        if (strcmp(text, tree_place_text((enum tree_place)p)) == 0) {
            *ret_place = (enum tree_place)p;
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "place: '%s'", text);
}

static int read_facts(struct reader *r, const struct around *a)
{
    struct tree_facts *f = &r->s->facts;
    *f = (struct tree_facts){
        .now = SITUATION_NOW_MS,
        .fresh_ms = 3000,
        .nodes = r->s->nodes,
        .is_election_known = !a->is_election_unknown,
        .election = &r->s->election,
        .shard = &r->s->shard,
        .told_offset = a->told_offset,
        .route_kind = a->is_route_unusable ? ROUTE_UNUSABLE
                      : a->route           ? ROUTE_CHOSEN
                                           : ROUTE_DIRECT,
        .route_words = "",
        .sync_patience_ms = 600000,
        .relay_silent_ms = 3000,
        .relay_link_ms = 10000,
        .relay_lag_bytes = a->relay_lag_bytes,
        .replica_priority = (int)a->replica_priority,
    };
    const struct {
        const char *text;
        struct addr *addr;
    } addrs[] = { { a->source, &f->source },
                  { a->told, &f->told },
                  { a->relay, &f->relay },
                  { a->appointed, &f->appointed } };
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        int rc = addrs[i].text ? read_addr(r, addrs[i].text, addrs[i].addr) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    return read_place(a->place, &f->place, r->err);
}

int tree_situation_read(const json_t *json, struct tree_situation *s, struct xp_err *err)
{
    struct around a = { .told_offset = -1, .relay_lag_bytes = 1000, .replica_priority = 100 };
    struct reader r = { .s = s, .err = err };
    memset(s, 0, sizeof(*s));
    s->shard.redises.items = s->redises;
    s->shard.keepers.items = s->keepers;
    int rc = jd_object(json, around_fields, &a, err);
    rc = rc ? rc : read_facts(&r, &a);
    if (rc == 0 && s->facts.route_kind == ROUTE_CHOSEN) {
        s->facts.route_words = json_string_value(json_object_get(json, "route"));
    }
    rc = rc ? rc : read_redises(&r, a.redis);
    rc = rc ? rc : read_keepers(&r, a.keepers);
    jd_done(around_fields, &a);
    return rc;
}

int tree_situation_run(const char *input, size_t length, struct str *out, struct xp_err *err,
                       void (*print)(const struct tree_situation *, struct str *out))
{
    static struct tree_situation situation;
    json_t *json = NULL;
    int rc = jd_parse(input, length, &json, err);
    rc = rc ? rc : tree_situation_read(json, &situation, err);
    if (rc == 0) {
        print(&situation, out);
    }
    json_decref(json);
    return rc;
}
