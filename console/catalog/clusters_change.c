/* clusters_change.c - creating, updating and deleting clusters; see clusters.h. */
#include "console/catalog/clusters.h"
#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/banned.h"

enum { TEXT_MAX_BYTES = 1024, TAG_MAX_BYTES = 32, UPDATES_MAX = 1000 };

/* ---- input ---- */

static bool is_email_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._%+-", c));
}

static bool is_email(const char *text, size_t length)
{
    size_t at = 0;
    size_t at_count = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '@') {
            at = i;
            at_count++;
        } else if (!is_email_char(text[i])) {
            return false;
        }
    }
    return at_count == 1 && at > 0 && at + 1 < length;
}

static int check_emails(const char *emails, struct xp_err *err)
{
    const char *cursor = emails;
    const char *part = NULL;
    size_t length = 0;
    size_t good = 0;
    bool is_bad = strnlen(emails, TEXT_MAX_BYTES + 1) > TEXT_MAX_BYTES;
    while (!is_bad && text_next_part(&cursor, ",;", &part, &length)) {
        is_bad = !is_email(part, length);
        good++;
    }
    if (is_bad || good == 0) {
        return xp_fail(err, XP_INVALID,
                       "Emails should be ctrip emails and separated by comma or semicolon");
    }
    return 0;
}

static int check_type(const char *text, enum cluster_type *ret_type, struct xp_err *err)
{
    enum cluster_type type = text ? cluster_type_from_text(text) : CLUSTER_ONE_WAY;
    if (type == CLUSTER_UNKNOWN) {
        return xp_fail(err, XP_INVALID, "invalidate clusterType");
    }
    if (!cluster_type_info(type)->is_supported) {
        return xp_fail(err, XP_UNSUPPORTED, "cluster type %s is not supported",
                       cluster_type_info(type)->name);
    }
    *ret_type = type;
    return 0;
}

static int check_dc_list(const struct cluster_spec *spec, enum cluster_type type,
                         struct xp_err *err)
{
    if (spec->dc_count == 0) {
        return xp_fail(err, XP_INVALID, "dcs, regions should have at least one not empty");
    }
    if (spec->dc_count < 2 && type != CLUSTER_SINGLE_DC) {
        return xp_fail(err, XP_INVALID, "dcs size should be at least two, first active!");
    }
    if (spec->dc_count > cluster_dcs_max(type)) {
        return xp_fail(err, XP_INVALID, "dcs size should be at most %zu for %s",
                       cluster_dcs_max(type), cluster_type_info(type)->name);
    }
    return 0;
}

/* The order of the checks is part of the contract (console-api.md 3.3.1). */
static int check_spec(const struct cluster_spec *spec, enum cluster_type *ret_type,
                      struct xp_err *err)
{
    if (text_is_empty(spec->name)) {
        return xp_fail(err, XP_INVALID, "clusterName empty");
    }
    static const char *const reserved[] = { "all", NULL }; /* GET /api/cluster/all */
    int rc = name_check("clusterName", spec->name, err);
    if (rc == 0) {
        rc = name_check_reserved("clusterName", spec->name, reserved, err);
    }
    if (rc == 0) {
        rc = check_type(spec->type, ret_type, err);
    }
    if (rc == 0 && text_is_empty(spec->description)) {
        rc = xp_fail(err, XP_INVALID, "desc empty");
    }
    if (rc == 0) {
        rc = text_check("desc", spec->description, TEXT_MAX_BYTES, err);
    }
    if (rc == 0 && text_is_empty(spec->admin_emails)) {
        rc = xp_fail(err, XP_INVALID, "clusterAdminEmails empty");
    }
    if (rc == 0) {
        rc = check_emails(spec->admin_emails, err);
    }
    if (rc == 0 && !spec->has_org_id) {
        rc = xp_fail(err, XP_INVALID, "organizationId empty");
    }
    return rc == 0 ? check_dc_list(spec, *ret_type, err) : rc;
}

static int find_org(struct db *db, int64_t org_id, int64_t *ret_pk, struct xp_err *err)
{
    int rc = query_i64(db, Q_ORGANIZATION_BY_ORG_ID, QUERY_ARGS(QI(org_id)), ret_pk, err);
    if (rc == 0 && !*ret_pk) {
        return xp_fail(err, XP_NOT_FOUND, "Organization Id: %lld, could not be found",
                       (long long)org_id);
    }
    return rc;
}

/* ---- create ---- */

struct create_args {
    const struct cluster_spec *spec;
    enum cluster_type type;
};

static int resolve_dcs(const struct service_job *job, struct db *db, struct dc_refs *ret_dcs,
                       struct xp_err *err)
{
    const struct cluster_spec *spec = ((const struct create_args *)job->args)->spec;
    ret_dcs->count = 0;
    for (size_t i = 0; i < spec->dc_count; i++) {
        struct dc_ref *dc = &ret_dcs->items[i];
        int rc = find_dc(job->cat, db, spec->dcs[i] ? spec->dcs[i] : "", dc, err);
        if (rc == 0 && !dc->id) {
            rc = xp_fail(err, XP_NOT_FOUND, "az - %s does not exist",
                         spec->dcs[i] ? spec->dcs[i] : "");
        }
        if (rc == 0 && dc_refs_by_id(ret_dcs, dc->id)) {
            rc = xp_fail(err, XP_INVALID, "dcs: %s appears twice", dc->name);
        }
        if (rc != 0) {
            return rc;
        }
        ret_dcs->count++;
    }
    return 0;
}

static int insert_cluster(struct change *change, const struct create_args *args,
                          const struct dc_refs *dcs, struct cluster_ref *ref, struct xp_err *err)
{
    const struct cluster_spec *spec = args->spec;
    char stamp[STAMP_SIZE];
    stamp_text(change->now_ms, stamp);
    int64_t active_dc_id = ref->info->is_multi_active ? 0 : dcs->items[0].id;
    int rc = query_run(change->db, Q_CLUSTER_INSERT,
                       QUERY_ARGS(QT(spec->name), QT(ref->type_name), QI(active_dc_id),
                                  QT(spec->description), QI(ref->org_pk), QT(spec->admin_emails),
                                  QT(stamp), QI(change->idx), QI(change->now_ms)),
                       err);
    ref->id = db_last_id(change->db);
    for (size_t i = 0; rc == 0 && i < dcs->count; i++) {
        rc = query_run(change->db, Q_DC_CLUSTER_INSERT,
                       QUERY_ARGS(QI(dcs->items[i].id), QI(ref->id), QI(change->now_ms)), err);
    }
    return rc;
}

static void note_create(const struct change *change, const struct create_args *args,
                        const struct dc_refs *dcs)
{
    json_t *list = json_array();
    for (size_t i = 0; i < dcs->count; i++) {
        (void)json_array_append_new(list, json_string(dcs->items[i].name));
    }
    change_note(change, "cluster", args->spec->name);
    change_note(change, "type", cluster_type_info(args->type)->name);
    change_note(change, "description", args->spec->description);
    change_note(change, "admin_emails", args->spec->admin_emails);
    change_note_number(change, "org_id", args->spec->org_id);
    (void)json_object_set_new(change->body, "dcs", list);
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct create_args *args = job->args;
    struct cluster_ref ref;
    struct dc_refs dcs = { .count = 0 };
    int64_t org_pk = 0;
    int rc = find_org(change->db, args->spec->org_id, &org_pk, err);
    if (rc == 0) {
        rc = find_cluster(change->db, args->spec->name, &ref, err);
    }
    if (rc == 0 && ref.id) {
        rc = xp_fail(err, XP_CONFLICT, "cluster - %s exist", args->spec->name);
    }
    if (rc == 0) {
        rc = resolve_dcs(job, change->db, &dcs, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct cluster_type_info *info = cluster_type_info(args->type);
    ref = (struct cluster_ref){
        .type = args->type, .type_name = info->name, .info = info, .org_pk = org_pk
    };
    memcpy(ref.name, args->spec->name, strlen(args->spec->name) + 1); /* name_check: it fits */
    note_create(change, args, &dcs);
    rc = insert_cluster(change, args, &dcs, &ref, err);
    job->result.object_id = ref.id;
    struct effect_on on = { EFFECT_CHANGED, &ref, dcs.items, dcs.count };
    return rc == 0 ? change_effect(change, &job->result, &on, err) : rc;
}

int clusters_create(struct catalog *cat, const struct change_ctx *ctx,
                    const struct cluster_spec *spec, struct catalog_result *ret_result,
                    struct xp_err *err)
{
    struct create_args args = { .spec = spec };
    int rc = check_spec(spec, &args.type, err);
    struct service_job job = { .args = &args };
    struct store_op op = { .name = "cluster.create", .fn = create_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

/* ---- update ---- */

/* What a cluster has now and shall have. */
struct cluster_fields {
    struct cluster_ref ref;
    enum cluster_type type;
    char description[TEXT_MAX_BYTES + 1];
    char emails[TEXT_MAX_BYTES + 1];
    char tag[TAG_MAX_BYTES + 1];
    int64_t org_pk;
};

static int read_fields(struct db *db, const char *name, struct cluster_fields *ret,
                       struct xp_err *err)
{
    int rc = find_cluster(db, name, &ret->ref, err);
    if (rc == 0 && !ret->ref.id) {
        return xp_fail(err, XP_NOT_FOUND, "Not find cluster: %s", name);
    }
    if (rc != 0) {
        return rc;
    }
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_CLUSTER_BY_NAME, QUERY_ARGS(QT(name)));
    rc = db_step(&s, err);
    if (rc != DB_ROW) {
        return rc < 0 ? rc
                      : xp_fail(err, XP_INTERNAL, "cluster %s vanished inside a transaction", name);
    }
    (void)snprintf(ret->description, sizeof(ret->description), "%s", db_col_text(&s, 9));
    (void)snprintf(ret->emails, sizeof(ret->emails), "%s", db_col_text(&s, 10));
    (void)snprintf(ret->tag, sizeof(ret->tag), "%s", ret->ref.tag);
    ret->type = ret->ref.type;
    ret->org_pk = ret->ref.org_pk;
    return 0;
}

static int convert_type(const char *wanted, struct cluster_fields *fields, struct xp_err *err)
{
    enum cluster_type type = cluster_type_from_text(wanted);
    if (type == CLUSTER_UNKNOWN) {
        return xp_fail(err, XP_INVALID, "invalidate clusterType");
    }
    if (type == fields->type) {
        return 0;
    }
    if (type == CLUSTER_HETERO) {
        return xp_fail(err, XP_INVALID,
                       "To convert to HETERO, you need to upgrade to az group model first");
    }
    bool is_pair = (type == CLUSTER_ONE_WAY && fields->type == CLUSTER_SINGLE_DC) ||
                   (type == CLUSTER_SINGLE_DC && fields->type == CLUSTER_ONE_WAY);
    if (!is_pair) {
        return xp_fail(err, XP_INVALID,
                       "Only (ONE_WAY, SINGLE_DC)/HETERO cluster can be converted to each other");
    }
    fields->type = type;
    return 0;
}

static int apply_texts(const struct cluster_update *update, struct cluster_fields *fields,
                       struct xp_err *err)
{
    int rc = 0;
    if (update->admin_emails) {
        rc = check_emails(update->admin_emails, err);
        if (rc == 0) {
            (void)snprintf(fields->emails, sizeof(fields->emails), "%s", update->admin_emails);
        }
    }
    if (rc == 0 && update->description) {
        rc = text_check("desc", update->description, TEXT_MAX_BYTES, err);
        (void)snprintf(fields->description, sizeof(fields->description), "%s", update->description);
    }
    if (rc == 0 && update->tag) {
        rc = text_check("tag", update->tag, TAG_MAX_BYTES, err);
        (void)snprintf(fields->tag, sizeof(fields->tag), "%s", update->tag);
    }
    return rc;
}

static int apply_update(struct db *db, const struct cluster_update *update,
                        struct cluster_fields *fields, struct xp_err *err)
{
    int rc = update->has_org_id ? find_org(db, update->org_id, &fields->org_pk, err) : 0;
    if (rc == 0) {
        rc = apply_texts(update, fields, err);
    }
    return rc == 0 && update->type ? convert_type(update->type, fields, err) : rc;
}

static bool fields_eq(const struct cluster_fields *a, const struct cluster_fields *b)
{
    return a->type == b->type && a->org_pk == b->org_pk &&
           text_eq(a->description, b->description) && text_eq(a->emails, b->emails) &&
           text_eq(a->tag, b->tag);
}

static void note_update(const struct change *change, const struct cluster_fields *fields)
{
    json_t *list = json_object_get(change->body, "clusters");
    if (!list) {
        list = json_array();
        (void)json_object_set_new(change->body, "clusters", list);
    }
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "cluster", fields->ref.name, "type",
                        cluster_type_info(fields->type)->name, "description", fields->description,
                        "admin_emails", fields->emails, "tag", fields->tag, "org_pk",
                        (json_int_t)fields->org_pk));
}

static int update_one(struct change *change, struct service_job *job,
                      const struct cluster_update *update, struct xp_err *err)
{
    struct cluster_fields now = { 0 };
    if (text_is_empty(update->name)) {
        return xp_fail(err, XP_INVALID, "clusterName empty");
    }
    int rc = read_fields(change->db, update->name, &now, err);
    struct cluster_fields next = now;
    if (rc == 0) {
        rc = change_check_version(change, &now.ref, err);
    }
    if (rc == 0) {
        rc = apply_update(change->db, update, &next, err);
    }
    if (rc == 0 && next.type != now.type) {
        rc = change_check_unlocked(&now.ref, err);
    }
    if (rc != 0 || fields_eq(&now, &next)) {
        return rc;
    }
    job->result.changed_count++;
    note_update(change, &next);
    next.ref.type = next.type;
    next.ref.info = cluster_type_info(next.type);
    next.ref.type_name = next.ref.info->name;
    rc = query_run(change->db, Q_CLUSTER_UPDATE,
                   QUERY_ARGS(QI(next.ref.id), QT(next.ref.type_name), QT(next.description),
                              QI(next.org_pk), QT(next.emails), QT(next.tag)),
                   err);
    if (rc == 0 && next.type != now.type) { /* told under both: one of them may not be pushed */
        rc = change_effect_cluster(change, &job->result, &now.ref, NULL, err);
    }
    return rc == 0 ? change_effect_cluster(change, &job->result, &next.ref, NULL, err) : rc;
}

static int update_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct cluster_updates *updates = job->args;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < updates->count; i++) {
        rc = update_one(change, job, &updates->items[i], err);
    }
    return rc == 0 && job->result.changed_count == 0 ? change_nothing(change, job) : rc;
}

int clusters_update(struct catalog *cat, const struct change_ctx *ctx,
                    const struct cluster_updates *updates, struct catalog_result *ret_result,
                    struct xp_err *err)
{
    if (updates->count > UPDATES_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu clusters in one update: at most %d", updates->count,
                       UPDATES_MAX);
    }
    struct service_job job = { .args = updates };
    struct store_op op = { .name = "cluster.update", .fn = update_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

/* ---- delete ---- */

static int check_deletable(const struct change *change, const struct cluster_ref *cluster,
                           bool check_empty, struct xp_err *err)
{
    int64_t left = 0;
    int rc = change_check_editable(change, cluster, err);
    if (rc == 0 && check_empty) {
        rc = query_i64(change->db, Q_CLUSTER_REDIS_COUNT, QUERY_ARGS(QI(cluster->id)), &left, err);
    }
    return rc == 0 && left > 0 ? xp_fail(err, XP_CONFLICT, "cluster not empty") : rc;
}

/* Children first: each statement finds its rows through live parents. */
static int delete_rows(const struct change *change, int64_t cluster_id, struct xp_err *err)
{
    static const enum query_id steps[] = { Q_CLUSTER_DELETE_REDISES, Q_CLUSTER_DELETE_DC_SHARDS,
                                           Q_CLUSTER_DELETE_SHARDS, Q_CLUSTER_DELETE_DCS };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(steps); i++) {
        rc = query_run(change->db, steps[i], QUERY_ARGS(QI(cluster_id), QI(change->now_ms)), err);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_CLUSTER_DELETE_ROUTES, QUERY_ARGS(QI(cluster_id)), err);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_CLUSTER_DELETE,
                       QUERY_ARGS(QI(cluster_id), QI(change->now_ms), QI(change->idx)), err);
    }
    return rc;
}

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct cluster_delete *args = job->args;
    struct cluster_ref cluster;
    struct dc_refs dcs;
    const char *name = args->name ? args->name : "";
    int rc = find_cluster(change->db, name, &cluster, err);
    if (rc == 0 && !cluster.id) {
        return args->check_empty ? xp_fail(err, XP_NOT_FOUND, "cluster not found:%s", name)
                                 : xp_fail(err, XP_NOT_FOUND, "Cannot find cluster: %s", name);
    }
    if (rc == 0) {
        rc = check_deletable(change, &cluster, args->check_empty, err);
    }
    if (rc == 0) {
        rc = find_cluster_dcs(change->db, cluster.id, &dcs, err);
    }
    if (rc == 0) {
        rc = delete_rows(change, cluster.id, err);
    }
    if (rc != 0) {
        return rc;
    }
    change_note(change, "cluster", cluster.name);
    change_note_number(change, "cluster_id", cluster.id);
    struct effect_on on = { EFFECT_DELETED, &cluster, dcs.items, dcs.count };
    return change_effect(change, &job->result, &on, err);
}

int clusters_delete(struct catalog *cat, const struct change_ctx *ctx,
                    const struct cluster_delete *args, struct catalog_result *ret_result,
                    struct xp_err *err)
{
    struct service_job job = { .args = args };
    struct store_op op = { .name = "cluster.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
