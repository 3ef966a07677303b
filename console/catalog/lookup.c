/* lookup.c - see lookup.h. */
#include "console/catalog/lookup.h"
#include "console/store/outbox.h"
#include "shared/base/str.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/banned.h"

static void copy_text(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text ? text : "");
}

int find_cluster(struct db *db, const char *name, struct cluster_ref *ret, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_CLUSTER_BY_NAME, QUERY_ARGS(QT(name)));
    struct cluster_ref ref = { 0 };
    int rc = db_step(&s, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == DB_ROW) {
        ref.id = db_col_i64(&s, 0);
        copy_text(ref.name, sizeof(ref.name), db_col_text(&s, 1));
        ref.type = cluster_type_from_text(db_col_text(&s, 2));
        ref.active_dc_id = db_col_i64(&s, 3);
        ref.org_pk = db_col_i64(&s, 4);
        copy_text(ref.status, sizeof(ref.status), db_col_text(&s, 5));
        ref.migration_event_id = db_col_i64(&s, 6);
        ref.version = db_col_i64(&s, 7);
        copy_text(ref.tag, sizeof(ref.tag), db_col_text(&s, 8));
    }
    ref.info = cluster_type_info(ref.type);
    ref.type_name = ref.info->name;
    *ret = ref;
    return 0;
}

int find_cluster_dcs(struct db *db, int64_t cluster_id, struct dc_refs *ret, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_CLUSTER_DCS, QUERY_ARGS(QI(cluster_id)));
    int rc = 0;
    ret->count = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (ret->count == DCS_PER_CLUSTER_MAX) {
            return xp_fail(err, XP_TOO_LARGE, "cluster %lld is bound to more than %d DCs",
                           (long long)cluster_id, DCS_PER_CLUSTER_MAX);
        }
        struct dc_ref *dc = &ret->items[ret->count++];
        *dc = (struct dc_ref){ .id = db_col_i64(&s, 0), .dc_cluster_id = db_col_i64(&s, 2) };
        copy_text(dc->name, sizeof(dc->name), db_col_text(&s, 1));
    }
    return rc;
}

int find_dc(const struct catalog *cat, struct db *db, const char *name, struct dc_ref *ret,
            struct xp_err *err)
{
    const char *inner = dc_alias_inner(cat->alias, name);
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, Q_DC_BY_NAME, QUERY_ARGS(QT(inner)));
    struct dc_ref ref = { 0 };
    int rc = db_step(&s, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == DB_ROW) {
        ref.id = db_col_i64(&s, 0);
        copy_text(ref.name, sizeof(ref.name), db_col_text(&s, 1));
        ref.zone_id = db_col_i64(&s, 2);
        ref.is_active = db_col_i64(&s, 4) != 0;
    }
    *ret = ref;
    return 0;
}

int find_shard(struct db *db, int64_t cluster_id, const char *name, struct shard_ref *ret,
               struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SHARD_BY_NAME, QUERY_ARGS(QI(cluster_id), QT(name)));
    struct shard_ref ref = { 0 };
    int rc = db_step(&s, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == DB_ROW) {
        ref.id = db_col_i64(&s, 0);
        copy_text(ref.name, sizeof(ref.name), db_col_text(&s, 1));
    }
    *ret = ref;
    return 0;
}

int find_az(struct db *db, const char *name, int64_t dc_id, int64_t *ret_id, struct xp_err *err)
{
    int64_t az_dc_id = 0;
    *ret_id = 0;
    if (text_is_empty(name)) {
        return 0;
    }
    int rc = query_i64(db, Q_AZ_BY_NAME, QUERY_ARGS(QT(name)), ret_id, err);
    if (rc == 0) {
        rc = query_i64(db, Q_AZ_DC, QUERY_ARGS(QI(*ret_id)), &az_dc_id, err);
    }
    return rc == 0 && az_dc_id != dc_id
               ? xp_fail(err, XP_NOT_FOUND, "available zone %s is not exist", name)
               : rc;
}

const struct dc_ref *dc_refs_by_id(const struct dc_refs *refs, int64_t dc_id)
{
    for (size_t i = 0; i < refs->count; i++) {
        if (refs->items[i].id == dc_id) {
            return &refs->items[i];
        }
    }
    return NULL;
}

/* Code points that are not seen, or that change how what follows is shown: two names would look the same in every list. */
static const struct {
    unsigned first, last;
} invisible[] = {
    { 0x80, 0xA0 },     { 0xAD, 0xAD },     { 0x61C, 0x61C },   { 0x180E, 0x180E },
    { 0x2000, 0x200F }, { 0x2028, 0x202F }, { 0x205F, 0x206F }, { 0x3000, 0x3000 },
    { 0xFE00, 0xFE0F }, { 0xFEFF, 0xFEFF }, { 0xFFF0, 0xFFFB }, { 0xE0000, 0xE0FFF },
};

/* The code point at 'text', valid UTF-8; moves on. */
static unsigned next_code(const char **text)
{
    const unsigned char *p = (const unsigned char *)*text;
    int more = p[0] < 0x80 ? 0 : p[0] < 0xE0 ? 1 : p[0] < 0xF0 ? 2 : 3;
    unsigned code = more == 0 ? p[0] : p[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        code = code << 6 | (p[i] & 0x3Fu);
    }
    *text += more + 1;
    return code;
}

static bool has_invisible(const char *text)
{
    while (*text) {
        unsigned code = next_code(&text);
        for (size_t i = 0; i < ARRAY_LEN(invisible); i++) {
            if (code >= invisible[i].first && code <= invisible[i].last) {
                return true;
            }
        }
    }
    return false;
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

int name_check(const char *what, const char *name, struct xp_err *err)
{
    size_t length = strnlen(name, NAME_MAX_BYTES + 1);
    if (length == 0 || length > NAME_MAX_BYTES) {
        return xp_fail(err, XP_INVALID, "%s must have 1..%d bytes", what, NAME_MAX_BYTES);
    }
    if (!text_is_utf8(name, length)) {
        return xp_fail(err, XP_INVALID, "%s is not valid UTF-8", what);
    }
    for (size_t i = 0; i < length; i++) {
        if (is_control((unsigned char)name[i]) || name[i] == '/') {
            return xp_fail(err, XP_INVALID, "%s must not contain '/' or control characters", what);
        }
    }
    if (has_invisible(name)) {
        return xp_fail(err, XP_INVALID, "%s must not contain invisible characters", what);
    }
    if (text_eq(name, ".") || text_eq(name, "..")) {
        return xp_fail(err, XP_INVALID, "%s must not be '%s': clients drop it from a path", what,
                       name);
    }
    if (name[0] == ' ' || name[length - 1] == ' ') {
        return xp_fail(err, XP_INVALID, "%s must not begin or end with a blank", what);
    }
    return 0;
}

int dc_name_check(const char *what, const char *name, struct xp_err *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    int rc = name_check(what, name, err);
    if (rc == 0 && name[strspn(name, allowed)] != '\0') {
        return xp_fail(err, XP_INVALID, "%s must consist of letters, digits, '.', '_' and '-'",
                       what);
    }
    return rc;
}

int name_check_reserved(const char *what, const char *name, const char *const *words,
                        struct xp_err *err)
{
    for (; *words; words++) {
        if (text_eq_nocase(name, *words)) {
            return xp_fail(err, XP_INVALID, "%s must not be '%s': it is a word of the API's paths",
                           what, *words);
        }
    }
    return 0;
}

size_t cluster_dcs_max(enum cluster_type type)
{
    return type == CLUSTER_BI_DIRECTION ? CRDT_DCS_MAX : DCS_PER_CLUSTER_MAX;
}

int text_check(const char *what, const char *text, size_t max_bytes, struct xp_err *err)
{
    size_t length = text ? strnlen(text, max_bytes + 1) : 0;
    if (length > max_bytes) {
        return xp_fail(err, XP_INVALID, "%s must have at most %zu bytes", what, max_bytes);
    }
    if (length > 0 && !text_is_utf8(text, length)) {
        return xp_fail(err, XP_INVALID, "%s is not valid UTF-8", what);
    }
    for (size_t i = 0; i < length; i++) {
        if (is_control((unsigned char)text[i]) && !strchr("\t\r\n", text[i])) {
            return xp_fail(err, XP_INVALID, "%s must not contain control characters", what);
        }
    }
    return 0;
}

void stamp_text(wall_ms at_ms, char ret_stamp[STAMP_SIZE])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm tm = { 0 };
    char date[STAMP_SIZE];
    xp_check(gmtime_r(&seconds, &tm) != NULL &&
             strftime(date, sizeof(date), "%Y%m%d%H%M%S", &tm) == 14);
    (void)snprintf(ret_stamp, STAMP_SIZE, "%.14s%03u", date, (unsigned)(at_ms % 1000) % 1000u);
}

int change_check_version(const struct change *change, const struct cluster_ref *cluster,
                         struct xp_err *err)
{
    int64_t wanted = change->ctx->if_version;
    if (wanted > 0 && wanted != cluster->version) {
        return xp_fail(err, XP_CONFLICT,
                       "cluster %s has version %lld, not %lld: read it again, then repeat",
                       cluster->name, (long long)cluster->version, (long long)wanted);
    }
    return 0;
}

int change_check_unlocked(const struct cluster_ref *cluster, struct xp_err *err)
{
    if (text_eq(cluster->status, "Normal")) {
        return 0;
    }
    return xp_fail(err, XP_LOCKED,
                   "cluster %s is in status %s (migration event %lld): finish or roll back first",
                   cluster->name, cluster->status, (long long)cluster->migration_event_id);
}

int change_check_editable(const struct change *change, const struct cluster_ref *cluster,
                          struct xp_err *err)
{
    int rc = change_check_version(change, cluster, err);
    return rc == 0 ? change_check_unlocked(cluster, err) : rc;
}

int change_touch_cluster(const struct change *change, int64_t cluster_id, struct xp_err *err)
{
    char stamp[STAMP_SIZE];
    stamp_text(change->now_ms, stamp);
    return query_run(change->db, Q_CLUSTER_TOUCH,
                     QUERY_ARGS(QI(cluster_id), QI(change->idx), QT(stamp), QI(change->now_ms)),
                     err);
}

static struct catalog_effect *add_effect(struct catalog_result *result, const struct effect_on *on)
{
    struct catalog_effect *effect = ARRAY_ADD(result->effects.items, result->effects.count);
    effect->kind = on->kind;
    effect->cluster = xstrdup(on->cluster ? on->cluster->name : "");
    effect->cluster_type = xstrdup(on->cluster ? on->cluster->type_name : "");
    effect->dcs.items = xcalloc(on->dc_count + 1, sizeof(char *));
    for (size_t i = 0; i < on->dc_count; i++) {
        effect->dcs.items[effect->dcs.count++] = xstrdup(on->dcs[i].name);
    }
    return effect;
}

int change_effect(const struct change *change, struct catalog_result *result,
                  const struct effect_on *on, struct xp_err *err)
{
    if (on->dc_count == 0) {
        return 0;
    }
    const struct catalog_effect *effect = add_effect(result, on);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < on->dc_count; i++) {
        struct outbox_row row = {
            .dc_id = on->dcs[i].id,
            .cluster_name = effect->cluster,
            .cluster_type = effect->cluster_type,
            .is_deleted = on->kind == EFFECT_DELETED,
        };
        rc = outbox_put(change, &row, err);
        if (rc == 0) {
            rc = query_run(change->db, Q_DC_TOUCH, QUERY_ARGS(QI(row.dc_id), QI(change->idx)), err);
        }
    }
    return rc;
}

int change_effect_cluster(const struct change *change, struct catalog_result *result,
                          const struct cluster_ref *cluster, const struct dc_ref *dc,
                          struct xp_err *err)
{
    int rc = change_touch_cluster(change, cluster->id, err);
    if (rc != 0) {
        return rc;
    }
    struct effect_on on = { .kind = EFFECT_CHANGED, .cluster = cluster, .dcs = dc, .dc_count = 1 };
    struct dc_refs all;
    if (!dc || cluster->info->is_multi_active) {
        rc = find_cluster_dcs(change->db, cluster->id, &all, err);
        on.dcs = all.items;
        on.dc_count = all.count;
    }
    return rc == 0 ? change_effect(change, result, &on, err) : rc;
}

void change_note(const struct change *change, const char *key, const char *text)
{
    json_t *value = text ? json_string(text) : NULL;
    if (value) {
        (void)json_object_set_new(change->body, key, value);
    }
}

void change_note_number(const struct change *change, const char *key, int64_t value)
{
    (void)json_object_set_new(change->body, key, json_integer(value));
}

int catalog_change(struct catalog *cat, const struct change_ctx *ctx, struct store_op *op,
                   struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job *job = op->arg;
    job->cat = cat;
    int64_t idx = 0;
    int rc = store_change(cat->store, ctx, op, &idx, err);
    if (rc != 0) {
        catalog_result_done(&job->result);
        return rc;
    }
    job->result.idx = idx;
    *ret_result = job->result;
    return 0;
}

void *array_grow(void *items, size_t count, size_t size)
{
    /* Grows when the count is 0 or a power of two, so that no capacity has to be kept. */
    char *array = (count & (count - 1)) == 0 ? xrealloc(items, count ? count * 2 : 1, size) : items;
    memset(array + count * size, 0, size);
    return array;
}

char *types_json(unsigned types)
{
    if (types == 0) {
        return NULL;
    }
    struct str list = STR_INIT(256);
    for (int type = CLUSTER_ONE_WAY; type <= CLUSTER_HETERO; type++) {
        if (types & TYPE_BIT(type)) {
            str_printf(&list, "%s\"%s\"", list.len ? "," : "[",
                       cluster_type_info((enum cluster_type)type)->name);
        }
    }
    str_puts(&list, "]");
    return str_take(&list);
}

void split_lines(const char *lines, struct names *ret_names)
{
    const char *cursor = lines ? lines : "";
    const char *part = NULL;
    size_t length = 0;
    struct names names = { 0 };
    while (text_next_part(&cursor, "\n", &part, &length)) {
        *ARRAY_ADD(names.items, names.count) = xstrndup(part, length);
    }
    *ret_names = names;
}
