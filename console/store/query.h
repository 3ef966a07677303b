/* query.h - prepared statements with typed arguments in one line.
 *
 *   rc = query_run(db, Q_CLUSTER_TOUCH, QUERY_ARGS(QI(idx), QT(stamp)), err);
 *   CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, Q_DC_BY_NAME, QUERY_ARGS(QT(name)));
 *
 * Nothing here but binding in order. Thread: the one that owns the connection. */
#ifndef CONSOLE_STORE_QUERY_H
#define CONSOLE_STORE_QUERY_H

#include "schema_sql.h"
#include "shared/base/mem.h"
#include "shared/db/db.h"

struct query_value {
    const char *text; /* NULL binds NULL */
    int64_t number;
    bool is_text;
};
struct query_args {
    const struct query_value *items;
    size_t count;
};
#define QI(value)                                                                                  \
    {                                                                                              \
        .number = (int64_t)(value)                                                                 \
    }
#define QT(value)                                                                                  \
    {                                                                                              \
        .text = (value), .is_text = true                                                           \
    }
#define QUERY_ARGS(...)                                                                            \
    ((struct query_args){ (const struct query_value[]){ __VA_ARGS__ },                             \
                          ARRAY_LEN(((const struct query_value[]){ __VA_ARGS__ })) })
#define QUERY_NO_ARGS ((struct query_args){ 0 })

struct db_stmt query_open(struct db *, enum query_id,
                          struct query_args); /* CLEANUP(db_stmt_done) */
int query_run(struct db *, enum query_id, struct query_args, struct xp_err *) XP_MUST_CHECK;
/* The first column of the first row; 0 when there is no row. */
int query_i64(struct db *, enum query_id, struct query_args, int64_t *ret_value,
              struct xp_err *) XP_MUST_CHECK;
/* A column as an owned text; NULL becomes "". */
char *query_text(const struct db_stmt *, int column);

#endif
