/* switches.c - see switches.h. */
#include "console/catalog/switches.h"

#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct setting {
    const char *key;
    const char *user;
    bool value;
};

static int get_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct setting *setting = job->args;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SWITCH_GET, QUERY_ARGS(QT(setting->key)));
    int rc = db_step(&s, err);
    *(bool *)job->ret = rc == DB_ROW ? text_eq_nocase(db_col_text(&s, 0), "true") : setting->value;
    return rc < 0 ? rc : 0;
}

int switches_get(const struct catalog *cat, const char *key, bool absent, bool *ret_value,
                 struct xp_err *err)
{
    struct setting setting = { .key = key, .value = absent };
    struct read_job job = { .cat = cat, .args = &setting, .ret = ret_value };
    return store_read(cat->store, get_in, &job, err);
}

static int set_in(struct change *change, void *arg, struct xp_err *err)
{
    const struct setting *setting = arg;
    const char *value = setting->value ? "true" : "false";
    change_note(change, setting->key, value);
    return query_run(change->db, Q_SWITCH_SET,
                     QUERY_ARGS(QT(setting->key), QT(value), QT(setting->user ? setting->user : ""),
                                QT(change->ctx->peer_ip ? change->ctx->peer_ip : ""),
                                QI(change->now_ms)),
                     err);
}

int switches_set(const struct catalog *cat, const struct change_ctx *ctx, const char *key,
                 bool value, const char *user, struct xp_err *err)
{
    struct setting setting = { key, user, value };
    struct store_op op = { .name = "config.set", .fn = set_in, .arg = &setting };
    return store_change(cat->store, ctx, &op, NULL, err);
}
