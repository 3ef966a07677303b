/* fake_zk_tree.c - see fake_zk_tree.h. */
#include "tests/sim/fake_zk_tree.h"

#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static void node_free(struct zk_node *n)
{
    free(n->path);
    free(n->data);
    free(n);
}

static void load(struct zk_node *n, const char *data, size_t length)
{
    free(n->data);
    n->data = xstrndup(data ? data : "", length);
    n->length = length;
    n->stat.dataLength = (int32_t)length;
}

static struct zk_node *node_new(struct zk_tree *t, struct zk_node *parent, char *take_path)
{
    struct zk_node *n = xcalloc(1, sizeof(*n));
    n->path = take_path;
    n->parent = parent;
    list_init(&n->children);
    list_init(&n->sibling);
    list_init(&n->owned);
    (void)map_put(&t->nodes, n->path, n);
    if (parent) {
        list_push_back(&parent->children, &n->sibling);
    }
    return n;
}

void zk_tree_init(struct zk_tree *t, void (*changed)(const char *, enum zk_change, void *),
                  void *arg)
{
    *t = (struct zk_tree){ .nodes = MAP_INIT(MAP_TEXT), .changed = changed, .arg = arg };
    load(node_new(t, NULL, xstrdup("/")), "", 0);
}

/* Who linked nodes into lists of his own may be gone already. */
void zk_tree_done(struct zk_tree *t)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&t->nodes, &at));) {
        node_free(slot->value);
    }
    map_done(&t->nodes);
}

struct zk_node *zk_tree_find(const struct zk_tree *t, const char *path)
{
    return map_get(&t->nodes, path);
}

static struct zk_node *parent_of(const struct zk_tree *t, const char *path)
{
    size_t length = (size_t)(strrchr(path, '/') - path);
    AUTO_FREE char *parent = length == 0 ? xstrdup("/") : xstrndup(path, length);
    return zk_tree_find(t, parent);
}

static void note_child(struct zk_tree *t, struct zk_node *parent, int delta)
{
    parent->stat.numChildren += delta;
    parent->stat.cversion++;
    parent->stat.pzxid = t->zxid;
}

int zk_tree_create(struct zk_tree *t, const char *path, const char *data, size_t length,
                   bool is_sequence, int64_t owner, struct zk_node **ret_node)
{
    if (path[0] != '/' || !path[1]) {
        return path[0] == '/' ? ZNODEEXISTS : ZBADARGUMENTS;
    }
    struct zk_node *parent = parent_of(t, path);
    if (!parent) {
        return ZNONODE;
    }
    if (parent->stat.ephemeralOwner != 0) {
        return ZNOCHILDRENFOREPHEMERALS;
    }
    char *whole = is_sequence ? xasprintf("%s%010d", path, parent->stat.cversion) : xstrdup(path);
    if (zk_tree_find(t, whole)) {
        free(whole);
        return ZNODEEXISTS;
    }
    struct zk_node *n = node_new(t, parent, whole);
    load(n, data, length);
    n->stat.czxid = n->stat.mzxid = ++t->zxid;
    n->stat.ctime = n->stat.mtime = clock_wall_ms();
    n->stat.ephemeralOwner = owner;
    note_child(t, parent, 1);
    *ret_node = n;
    t->changed(n->path, ZK_NODE_CREATED, t->arg);
    return ZOK;
}

int zk_tree_set(struct zk_tree *t, const char *path, const char *data, size_t length, int version)
{
    struct zk_node *n = zk_tree_find(t, path);
    if (!n) {
        return ZNONODE;
    }
    if (version != -1 && version != n->stat.version) {
        return ZBADVERSION;
    }
    load(n, data, length);
    n->stat.version++;
    n->stat.mzxid = ++t->zxid;
    n->stat.mtime = clock_wall_ms();
    t->changed(n->path, ZK_NODE_CHANGED, t->arg);
    return ZOK;
}

int zk_tree_may_delete(const struct zk_tree *t, const char *path, int version)
{
    const struct zk_node *n = zk_tree_find(t, path);
    if (!n) {
        return ZNONODE;
    }
    if (version != -1 && version != n->stat.version) {
        return ZBADVERSION;
    }
    return list_is_empty(&n->children) ? ZOK : ZNOTEMPTY;
}

int zk_tree_delete(struct zk_tree *t, const char *path, int version)
{
    int rc = zk_tree_may_delete(t, path, version);
    if (rc != ZOK) {
        return rc;
    }
    struct zk_node *n = map_remove(&t->nodes, path);
    AUTO_FREE char *gone = xstrdup(n->path);
    t->zxid++;
    note_child(t, n->parent, -1);
    list_remove(&n->owned);
    list_remove(&n->sibling);
    node_free(n);
    t->changed(gone, ZK_NODE_DELETED, t->arg);
    return ZOK;
}

const struct zk_node *zk_tree_first_child(const struct zk_tree *t, const char *path)
{
    const struct zk_node *parent = zk_tree_find(t, path);
    const struct zk_node *first = NULL;
    const char *lowest = NULL;
    if (!parent) {
        return NULL;
    }
    list_for_each (it, &parent->children) {
        const struct zk_node *n = LIST_ENTRY(it, struct zk_node, sibling);
        const char *number = strrchr(n->path, '-');
        if (number && (!lowest || strcmp(number, lowest) < 0)) {
            first = n;
            lowest = number;
        }
    }
    return first;
}
