/* keeper_table.h - the keepers of a container, by replId, and what may be done with them in which order (4.6).
 *
 * As in a real container the table is in memory: after a restart it is empty, and adding a keeper finds its folder again.
 * A keeper whose process has ended counts as not started. Thread: the one worker of the container. */
#ifndef TESTS_FAKES_KEEPER_CONTAINER_KEEPER_TABLE_H
#define TESTS_FAKES_KEEPER_CONTAINER_KEEPER_TABLE_H

#include <jansson.h>
#include <stdbool.h>

#include "shared/base/err.h"

struct keeper_table;

struct keeper_table_options { /* all borrowed for the table's life */
    const char *dir;
    const char *redis_server;
    const char *module;
    const char *zk_hosts; /* "": keepers are in no election */
    const char *zk_namespace;
    bool zk_by_shard; /* <ns>/keepers/cluster_<id>/shard_<id> instead of <ns>/keepers/repl_<id> */
    int64_t zk_session_ms;
};

/* clang-format off */
#define CONTAINER_CODES(X) X(KEEPER_ALREADY_EXIST) X(KEEPER_NOT_EXIST) X(KEEPER_NOT_STARTED) X(KEEPER_ALREADY_STARTED) \
    X(KEEPER_ALREADY_STOPPED) X(KEEPER_ALREADY_DELETED) X(INTERNAL_EXCEPTION)
/* clang-format on */
#define CONTAINER_CODE_ENUM(name) CONTAINER_##name,
enum container_code { CONTAINER_OK = 0, CONTAINER_CODES(CONTAINER_CODE_ENUM) };
const char *container_code_text(enum container_code);

struct keeper_table *keeper_table_new(const struct keeper_table_options *);
void keeper_table_free(struct keeper_table *); /* stops what runs */
void keeper_table_stop_all(struct keeper_table *);

/* 'body' is a KeeperTransMeta. Anything but CONTAINER_OK sets *err to the text of the answer. */
typedef enum container_code keeper_action(struct keeper_table *, const json_t *body,
                                          struct xp_err *err);
keeper_action keeper_table_add, keeper_table_add_or_start, keeper_table_start, keeper_table_stop,
    keeper_table_delete, keeper_table_reelect, keeper_table_release_rdb;

/* Lists of KeeperTransMeta, one of them, the number; all owned by the caller. */
json_t *keeper_table_list(struct keeper_table *);
json_t *keeper_table_at_port(struct keeper_table *,
                             int port); /* every field null when the port is free */
size_t keeper_table_count(const struct keeper_table *);

#endif
