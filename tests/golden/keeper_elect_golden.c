/* keeper_elect_golden.c - which keepers live and which is active, over recorded contents of ZooKeeper.
 *
 * Input: {"why", "document": [{"addr","priority","container"}],
 * "children": [{"path": "shard" or "repl", "name", "data": object, or "raw": text, or neither, "pad": bytes of a field more}]}. */
#include <jansson.h>
#include <string.h>

#include "meta/keepers/keeper_elect.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define CHILDREN_MAX 64
#define NAMED_MAX    32

struct situation {
    struct keeper_child children[CHILDREN_MAX];
    char *data[CHILDREN_MAX];
    size_t count;
    struct keeper_meta named[NAMED_MAX];
    struct shard_meta shard;
};

static int64_t number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static void read_document(const json_t *input, struct situation *s)
{
    size_t i;
    json_t *k;
    json_array_foreach (json_object_get(input, "document"), i, k) {
        xp_check(i < NAMED_MAX);
        struct xp_err err;
        const char *addr = json_string_value(json_object_get(k, "addr"));
        s->named[i].priority = number(k, "priority", 1);
        s->named[i].container_id = number(k, "container", 0);
        xp_check(addr_parse(addr, strlen(addr), &s->named[i].addr, &err) == 0);
        s->shard.keepers.count = i + 1;
    }
    s->shard.keepers.items = s->named;
}

static char *data_of(const json_t *child)
{
    json_t *data = json_object_get(child, "data");
    int64_t pad = number(child, "pad", 0);
    if (pad > 0) {
        AUTO_FREE char *fill = xmalloc((size_t)pad + 1);
        memset(fill, 'x', (size_t)pad);
        fill[pad] = '\0';
        json_object_set_new(data, "pad", json_string(fill));
    }
    return data ? json_dumps(data, JSON_ENCODE_ANY)
                : xstrdup(json_string_value(json_object_get(child, "raw")));
}

static void read_children(const json_t *input, struct situation *s)
{
    size_t i;
    json_t *child;
    json_array_foreach (json_object_get(input, "children"), i, child) {
        xp_check(i < CHILDREN_MAX);
        const char *path = json_string_value(json_object_get(child, "path"));
        s->data[i] = data_of(child);
        s->children[i] = (struct keeper_child){
            .path = path && strcmp(path, "shard") == 0 ? ELECTION_BY_SHARD : ELECTION_BY_REPL,
            .name = json_string_value(json_object_get(child, "name")),
            .data = s->data[i],
            .length = s->data[i] ? strlen(s->data[i]) : 0,
        };
        s->count = i + 1;
    }
}

static void print(const struct keeper_election *e, struct str *out)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct live_keeper *k = &e->keepers[i];
        str_printf(out, "%s%s priority %lld, container %lld, run id %s%s\n",
                   (int)i == e->active ? "* " : "  ", ADDR_TEXT(&k->addr), (long long)k->priority,
                   (long long)k->container_id, k->run_id[0] ? k->run_id : "unknown",
                   k->is_in_meta ? "" : ", not in the document");
    }
    str_printf(out, "active: %d, unreadable: %d, ignored: %d\n", e->active, e->unreadable,
               e->ignored);
}

static int elect(const json_t *json, struct str *out, struct xp_err *err)
{
    (void)err;
    static struct situation s;
    struct keeper_election election;
    memset(&s, 0, sizeof(s));
    read_document(json, &s);
    read_children(json, &s);
    keeper_elect(s.children, s.count, &s.shard, &election);
    print(&election, out);
    for (size_t i = 0; i < s.count; i++) {
        free(s.data[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/keeper_elect", elect);
}
