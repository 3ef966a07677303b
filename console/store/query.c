/* query.c - see query.h. */
#include "console/store/query.h"

#include "shared/base/banned.h"

struct db_stmt query_open(struct db *db, enum query_id id, struct query_args args)
{
    struct db_stmt s = db_query(db, (int)id);
    for (size_t i = 0; i < args.count; i++) {
        if (args.items[i].is_text) {
            db_bind_text(&s, args.items[i].text);
        } else {
            db_bind_i64(&s, args.items[i].number);
        }
    }
    return s;
}

int query_run(struct db *db, enum query_id id, struct query_args args, struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, id, args);
    return db_run(&s, err);
}

int query_i64(struct db *db, enum query_id id, struct query_args args, int64_t *ret_value,
              struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, id, args);
    int rc = db_step(&s, err);
    if (rc < 0) {
        return rc;
    }
    *ret_value = rc == DB_ROW ? db_col_i64(&s, 0) : 0;
    return 0;
}

char *query_text(const struct db_stmt *s, int column)
{
    const char *text = db_col_text(s, column);
    return xstrdup(text ? text : "");
}
