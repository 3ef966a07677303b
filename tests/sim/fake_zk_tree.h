/* fake_zk_tree.h - the nodes of the simulated ZooKeeper: paths, versions, sequence numbers, owners. Knows no session and no
 * watch: 'changed' tells. Results are those of the C client (ZOK, ZNONODE...). Thread: one. */
#ifndef TESTS_SIM_FAKE_ZK_TREE_H
#define TESTS_SIM_FAKE_ZK_TREE_H

#include <zookeeper/zookeeper.h>

#include "shared/base/list.h"
#include "shared/base/map.h"

struct zk_node {
    char *path;
    char *data;
    size_t length;
    struct Stat stat;
    struct zk_node *parent; /* NULL: "/" */
    struct list children;   /* zk_node.sibling, in order of creation */
    struct list sibling;
    struct list owned; /* by whoever put it there: the session of an ephemeral */
};

enum zk_change { ZK_NODE_CREATED, ZK_NODE_CHANGED, ZK_NODE_DELETED };

struct zk_tree {
    struct map nodes; /* by path */
    int64_t zxid;
    void (*changed)(const char *path, enum zk_change, void *arg); /* the parent's children, too */
    void *arg;
};

void zk_tree_init(struct zk_tree *, void (*changed)(const char *, enum zk_change, void *),
                  void *arg);
void zk_tree_done(struct zk_tree *);
struct zk_node *zk_tree_find(const struct zk_tree *, const char *path);
/* 'path' without the number that 'is_sequence' appends. 'owner' 0: persistent. */
int zk_tree_create(struct zk_tree *, const char *path, const char *data, size_t length,
                   bool is_sequence, int64_t owner, struct zk_node **ret_node);
int zk_tree_set(struct zk_tree *, const char *path, const char *data, size_t length, int version);
/* What zk_tree_delete would say. */
int zk_tree_may_delete(const struct zk_tree *, const char *path, int version);
int zk_tree_delete(struct zk_tree *, const char *path, int version);
/* The child whose name ends in the lowest "-number"; NULL. */
const struct zk_node *zk_tree_first_child(const struct zk_tree *, const char *path);

#endif
