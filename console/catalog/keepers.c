/* keepers.c - see keepers.h. Facts for a choice are read, and its result is stored, in one write transaction: two calls at the
 * same time cannot get the same port. */
#include "console/catalog/keepers.h"
#include "console/catalog/keeper_choice.h"
#include "console/catalog/keepers_internal.h"
#include "console/catalog/place.h"
#include "shared/base/random.h"
#include "shared/base/str.h"

#include <stdio.h>
#include <stdlib.h>

#include "shared/base/banned.h"

enum { RUN_ID_BYTES = 20, RUN_ID_SIZE = 2 * RUN_ID_BYTES + 1, PRIORITY_DEFAULT = 1 };

/* ---- choosing ---- */

struct wish { /* for whom keepers are chosen */
    int64_t dc_id;
    int64_t org_pk; /* of the cluster */
    const char *tag;
    const struct addr *avoid;
    size_t avoid_count;
    struct map *ports; /* of a filler; NULL: read all */
};

static void to_candidates(const struct catalog *cat, const struct keeper_container_rows *rows,
                          struct keeper_candidate *out)
{
    const struct keeper_rules *rules = &cat->keeper_rules;
    for (size_t i = 0; i < rows->count; i++) {
        const struct keeper_container_row *row = &rows->items[i];
        out[i] = (struct keeper_candidate){
            .id = row->id,
            .org_id = row->org_id,
            .tag = row->tag,
            .disk_type = row->disk_type,
            .az_id = row->is_az_active ? row->az_id : 0,
            .keeper_count = row->keeper_count,
            .is_active = row->is_active,
            .is_unhealthy = rules->is_unhealthy && rules->is_unhealthy(rules->arg, row->id),
        };
    }
}

static int read_wish(struct db *db, const struct wish *wish, struct keeper_facts *facts,
                     struct xp_err *err)
{
    int rc = wish->org_pk ? query_i64(db, Q_ORGANIZATION_NUMBER, QUERY_ARGS(QI(wish->org_pk)),
                                      &facts->org_id, err)
                          : 0;
    if (rc == 0) {
        rc = query_i64(db, Q_AZ_ACTIVE_COUNT, QUERY_ARGS(QI(wish->dc_id)), &facts->active_az_count,
                       err);
    }
    facts->tag = wish->tag;
    return rc;
}

struct ports {
    int *items;
    size_t count;
};

static void ports_done(struct ports *ports)
{
    free(ports->items);
}

static void add_port(struct ports *ports, int port)
{
    *ARRAY_ADD(ports->items, ports->count) = port;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int load_ports(struct db *db, const char *ip, int from, struct ports *ports,
                      struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_KEEPER_PORTS, QUERY_ARGS(QT(ip), QI(from)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        add_port(ports, (int)db_col_i64(&s, 0));
    }
    return rc;
}

static void avoid_port(struct ports *ports, const char *ip, const struct addr *avoid)
{
    if (text_eq_nocase(avoid->host, ip)) {
        add_port(ports, avoid->port);
        qsort(ports->items, ports->count, sizeof(*ports->items), by_number);
    }
}

static int first_port(const struct wish *wish, const char *ip)
{
    const void *known = wish->ports ? map_get(wish->ports, ip) : NULL;
    return known ? (int)(intptr_t)known : KEEPER_PORT_FIRST;
}

/* The next home at this container's address. */
static int add_home(struct db *db, const struct wish *wish, const struct keeper_container_row *row,
                    struct keeper_homes *homes, struct xp_err *err)
{
    CLEANUP(ports_done) struct ports used = { 0 };
    const char *ip = row->addr.host;
    int from = first_port(wish, ip);
    int rc = load_ports(db, ip, from, &used, err);
    for (size_t i = 0; i < wish->avoid_count; i++) {
        avoid_port(&used, ip, &wish->avoid[i]);
    }
    for (size_t i = 0; i < homes->count; i++) {
        avoid_port(&used, ip, &homes->items[i].addr);
    }
    int port = keeper_free_port(from, used.items, used.count);
    if (rc != 0 || port == 0) {
        return rc ? rc
                  : xp_fail(err, XP_CONFLICT, "no port from %d on is free at %s", KEEPER_PORT_FIRST,
                            ip);
    }
    if (wish->ports) {
        (void)map_put(wish->ports, ip, (void *)(intptr_t)port);
    }
    homes->items[homes->count++] = (struct keeper_home){ row->id, addr_of(ip, port) };
    return 0;
}

static int take_homes(struct db *db, const struct wish *wish,
                      const struct keeper_container_rows *rows, const struct keeper_facts *facts,
                      struct keeper_homes *ret_homes, struct xp_err *err)
{
    CLEANUP(keeper_choice_done) struct keeper_choice choice = { 0 };
    keeper_choose(facts, &choice);
    if (choice.usable_count < KEEPERS_PER_SHARD) {
        return xp_fail(err, XP_CONFLICT, "Organization keepers size:%zu, but we need:%d",
                       choice.usable_count, KEEPERS_PER_SHARD);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < KEEPERS_PER_SHARD; i++) {
        rc = add_home(db, wish, &rows->items[choice.taken[i]], ret_homes, err);
    }
    return rc;
}

/* What a choice is made of; 'rows' are the containers by the indexes of the facts. */
struct material {
    struct keeper_container_rows rows;
    struct keeper_candidate *candidates;
    struct keeper_facts facts;
};

static void material_done(struct material *m)
{
    keeper_container_rows_done(&m->rows);
    free(m->candidates);
}

static int gather(const struct catalog *cat, struct db *db, const struct wish *wish,
                  struct material *m, struct xp_err *err)
{
    int rc = keeper_containers_load(db, wish->dc_id, &m->rows, err);
    m->candidates = xcalloc(m->rows.count + 1, sizeof(*m->candidates));
    to_candidates(cat, &m->rows, m->candidates);
    m->facts = (struct keeper_facts){ .items = m->candidates,
                                      .count = m->rows.count,
                                      .medium = cat->keeper_rules.medium };
    return rc == 0 ? read_wish(db, wish, &m->facts, err) : rc;
}

static int find_homes(const struct catalog *cat, struct db *db, const struct wish *wish,
                      struct keeper_homes *ret_homes, struct xp_err *err)
{
    CLEANUP(material_done) struct material m = { 0 };
    ret_homes->count = 0;
    int rc = gather(cat, db, wish, &m, err);
    return rc == 0 && m.rows.count > 0 ? take_homes(db, wish, &m.rows, &m.facts, ret_homes, err)
                                       : rc;
}

/* ---- storing ---- */

static void new_run_id(char ret_id[RUN_ID_SIZE])
{
    unsigned char bytes[RUN_ID_BYTES];
    random_fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(ret_id + 2 * i, 3, "%02x", bytes[i]);
    }
}

static int find_run_id(struct db *db, int64_t place_id, char ret_id[RUN_ID_SIZE],
                       struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_KEEPER_RUN_ID, QUERY_ARGS(QI(place_id)));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        (void)snprintf(ret_id, RUN_ID_SIZE, "%s", db_col_text(&s, 0));
    } else if (rc == 0) {
        new_run_id(ret_id);
    }
    return rc < 0 ? rc : 0;
}

int keeper_insert(const struct change *change, const struct instance_target *target,
                  const struct keeper_home *home, int64_t priority, struct xp_err *err)
{
    char run_id[RUN_ID_SIZE];
    int rc = find_run_id(change->db, target->dc_cluster_shard_id, run_id, err);
    if (rc == 0) {
        rc = query_run(change->db, Q_KEEPER_INSERT,
                       QUERY_ARGS(QT(run_id), QI(target->dc_cluster_shard_id), QT(home->addr.host),
                                  QI(home->addr.port), QI(home->container_id), QI(priority),
                                  QI(change->now_ms)),
                       err);
    }
    instance_note(change, target, "add_keeper", &home->addr);
    return rc;
}

int keeper_delete(const struct change *change, const struct instance_target *target,
                  const struct redis_row *row, struct xp_err *err)
{
    instance_note(change, target, "remove_keeper", &row->addr);
    return query_run(change->db, Q_REDIS_DELETE, QUERY_ARGS(QI(row->id), QI(change->now_ms)), err);
}

static int insert_chosen(struct keeper_filler *f, const struct instance_target *target,
                         struct keeper_homes *ret_homes, struct xp_err *err)
{
    struct wish wish = { .dc_id = target->dc->id,
                         .org_pk = target->cluster->org_pk,
                         .tag = target->cluster->tag,
                         .ports = &f->ports };
    int rc = find_homes(f->cat, f->change->db, &wish, ret_homes, err);
    for (size_t i = 0; rc == 0 && i < ret_homes->count; i++) {
        rc = keeper_insert(f->change, target, &ret_homes->items[i], PRIORITY_DEFAULT, err);
    }
    return rc;
}

static int has_containers(struct db *db, int64_t dc_id, bool *ret_has, struct xp_err *err)
{
    int64_t count = 0;
    int rc = query_i64(db, Q_KEEPER_CONTAINER_COUNT, QUERY_ARGS(QI(dc_id)), &count, err);
    *ret_has = count > 0;
    return rc;
}

void keeper_filler_done(struct keeper_filler *f)
{
    map_done(&f->ports);
}

int keepers_fill(struct keeper_filler *f, const struct instance_target *target,
                 int64_t *ret_changed, struct xp_err *err)
{
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    struct keeper_homes homes = { .count = 0 };
    bool has = false;
    int rc = has_containers(f->change->db, target->dc->id, &has, err);
    if (rc == 0 && has) {
        rc = place_rows(f->change->db, target->dc_cluster_shard_id, "keeper", &rows, err);
    }
    if (rc != 0 || !has || rows.count >= KEEPERS_PER_SHARD) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < rows.count; i++) {
        rc = keeper_delete(f->change, target, &rows.items[i], err);
        map_done(&f->ports); /* a port became free */
    }
    if (rc == 0) {
        rc = insert_chosen(f, target, &homes, err);
    }
    *ret_changed += (int64_t)(rows.count + homes.count);
    return rc;
}

/* ---- adding and removing on demand ---- */

struct keepers_args {
    const struct shard_place *place;
    struct redis_rows *rows; /* out; filled once more when the transaction is repeated */
};

static int check_add(const struct shard_place *names, const struct place_ref *place,
                     struct xp_err *err)
{
    if (!place->cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "not found cluster %s",
                       names->cluster ? names->cluster : "");
    }
    if (!place->cluster.info->has_keepers) {
        return xp_fail(err, XP_INVALID, "cluster %s not support keepers", place->cluster.name);
    }
    return place->id ? 0 : place_not_found(names, err);
}

static int insert_fail(struct xp_err *err)
{
    struct xp_err why = *err;
    return xp_fail(err, why.code, "insert fail:%s", why.msg);
}

static int add_two(struct change *change, struct service_job *job, const struct place_ref *place,
                   struct xp_err *err)
{
    const struct keepers_args *args = job->args;
    CLEANUP(keeper_filler_done)
    struct keeper_filler f = { job->cat, change, MAP_INIT(MAP_TEXT_NOCASE) };
    struct instance_target target = place_target(place);
    struct keeper_homes homes = { .count = 0 };
    int rc = insert_chosen(&f, &target, &homes, err);
    if (rc == 0 && homes.count == 0) {
        rc = xp_fail(err, XP_CONFLICT, "Organization keepers size:0, but we need:%d",
                     KEEPERS_PER_SHARD);
    }
    if (rc == 0) {
        rc = place_rows(change->db, place->id, "keeper", args->rows, err);
    }
    if (rc != 0) {
        return insert_fail(err);
    }
    job->result.changed_count = (int64_t)homes.count;
    return change_effect_cluster(change, &job->result, &place->cluster, &place->dc, err);
}

static int add_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct keepers_args *args = job->args;
    struct place_ref place;
    redis_rows_done(args->rows);
    int rc = place_find(job->cat, change->db, args->place, &place, err);
    if (rc == 0) {
        rc = check_add(args->place, &place, err);
    }
    if (rc == 0) {
        rc = change_check_editable(change, &place.cluster, err);
    }
    if (rc == 0) {
        rc = place_rows(change->db, place.id, "keeper", args->rows, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (args->rows->count > 0) {
        return change_nothing(change, job);
    }
    change_note(change, "cluster", place.cluster.name);
    return add_two(change, job, &place, err);
}

static int remove_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct keepers_args *args = job->args;
    struct place_ref place;
    redis_rows_done(args->rows);
    int rc = place_find(job->cat, change->db, args->place, &place, err);
    if (rc == 0 && !place.cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "unfound cluster %s",
                       args->place->cluster ? args->place->cluster : "");
    }
    if (rc == 0 && !place.cluster.info->has_keepers) {
        return xp_fail(err, XP_INVALID, "unsupported cluster type");
    }
    if (rc == 0) {
        rc = change_check_editable(change, &place.cluster, err);
    }
    if (rc == 0) {
        rc = place_rows(change->db, place.id, "keeper", args->rows, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (args->rows->count == 0) {
        return change_nothing(change, job);
    }
    struct instance_target target = place_target(&place);
    change_note(change, "cluster", place.cluster.name);
    for (size_t i = 0; rc == 0 && i < args->rows->count; i++) {
        rc = keeper_delete(change, &target, &args->rows->items[i], err);
    }
    job->result.changed_count = (int64_t)args->rows->count;
    return rc == 0 ? change_effect_cluster(change, &job->result, &place.cluster, &place.dc, err)
                   : rc;
}

static int run(struct catalog *cat, const struct change_ctx *ctx, struct store_op *op,
               struct redis_rows *ret_rows, struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job *job = op->arg;
    struct keepers_args args = { .place = job->args, .rows = &(struct redis_rows){ 0 } };
    job->args = &args;
    int rc = catalog_change(cat, ctx, op, ret_result, err);
    if (rc != 0) {
        redis_rows_done(args.rows);
        return rc;
    }
    *ret_rows = *args.rows;
    return 0;
}

int keepers_add(struct catalog *cat, const struct change_ctx *ctx, const struct shard_place *place,
                struct redis_rows *ret_rows, struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = place };
    struct store_op op = { .name = "keeper.add", .fn = add_in, .arg = &job };
    return run(cat, ctx, &op, ret_rows, ret_result, err);
}

int keepers_remove(struct catalog *cat, const struct change_ctx *ctx,
                   const struct shard_place *place, struct redis_rows *ret_rows,
                   struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = place };
    struct store_op op = { .name = "keeper.remove", .fn = remove_in, .arg = &job };
    return run(cat, ctx, &op, ret_rows, ret_result, err);
}

/* ---- which one is active ---- */

static bool is_reported(const struct keeper_report *report, const struct redis_row *row,
                        bool by_addr)
{
    return by_addr ? addr_eq(&row->addr, &report->addr)
                   : report->container_id != 0 && row->container_id == report->container_id;
}

static bool has_addr(const struct redis_rows *rows, const struct addr *addr)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (addr_eq(&rows->items[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

struct report_plan {
    struct place_ref place;
    struct redis_rows rows; /* is_active as it shall be; the ones that differ come first */
    size_t changed_count;
};

static void plan_rows(const struct keeper_report *report, struct report_plan *plan,
                      bool *ret_is_known)
{
    bool by_addr = has_addr(&plan->rows, &report->addr);
    for (size_t i = 0; i < plan->rows.count; i++) {
        struct redis_row row = plan->rows.items[i];
        bool is_active = is_reported(report, &row, by_addr);
        *ret_is_known = *ret_is_known || is_active;
        if (is_active != row.is_active) {
            row.is_active = is_active;
            plan->rows.items[i] = plan->rows.items[plan->changed_count];
            plan->rows.items[plan->changed_count++] = row;
        }
    }
}

static int make_plan(const struct catalog *cat, struct db *db, const struct keeper_report *report,
                     struct report_plan *plan, struct xp_err *err)
{
    bool is_known = false;
    int rc = place_find(cat, db, &report->place, &plan->place, err);
    if (rc == 0 && !plan->place.id) {
        return place_not_found(&report->place, err);
    }
    if (rc == 0) {
        rc = place_rows(db, plan->place.id, "keeper", &plan->rows, err);
    }
    if (rc != 0) {
        return rc;
    }
    plan_rows(report, plan, &is_known);
    return is_known
               ? 0
               : xp_fail(err, XP_NOT_FOUND,
                         "keeper %s (container %lld) is not in shard %s of cluster %s in dc %s",
                         ADDR_TEXT(&report->addr), (long long)report->container_id,
                         plan->place.shard.name, plan->place.cluster.name, plan->place.dc.name);
}

static int look_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct report_plan plan = { 0 };
    int rc = make_plan(job->cat, db, job->args, &plan, err);
    *(bool *)job->ret = plan.changed_count > 0;
    redis_rows_done(&plan.rows);
    return rc;
}

static int apply_plan(const struct change *change, const struct report_plan *plan,
                      struct xp_err *err)
{
    struct instance_target target = place_target(&plan->place);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->changed_count; i++) {
        const struct redis_row *row = &plan->rows.items[i];
        rc = query_run(change->db, Q_KEEPER_SET_ACTIVE,
                       QUERY_ARGS(QI(row->id), QI(row->is_active), QI(change->now_ms)), err);
        instance_note(change, &target, row->is_active ? "active" : "not_active", &row->addr);
    }
    /* The document of this DC shows another flag, so its versions rise; no outbox row: who reported needs no push. */
    if (rc == 0) {
        rc = change_touch_cluster(change, plan->place.cluster.id, err);
    }
    return rc == 0 ? query_run(change->db, Q_DC_TOUCH,
                               QUERY_ARGS(QI(plan->place.dc.id), QI(change->idx)), err)
                   : rc;
}

static int report_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    struct report_plan plan = { 0 };
    int rc = make_plan(job->cat, change->db, job->args, &plan, err);
    if (rc == 0 && plan.changed_count == 0) {
        rc = change_nothing(change, job);
    } else if (rc == 0) {
        change_note(change, "cluster", plan.place.cluster.name);
        job->result.changed_count = (int64_t)plan.changed_count;
        rc = apply_plan(change, &plan, err);
    }
    redis_rows_done(&plan.rows);
    return rc;
}

int keepers_report_active(struct catalog *cat, const struct change_ctx *ctx,
                          const struct keeper_report *report, struct catalog_result *ret_result,
                          struct xp_err *err)
{
    bool differs = false;
    struct read_job look = { .cat = cat, .args = report, .ret = &differs };
    int rc = store_read(cat->store, look_in, &look, err);
    if (rc != 0) {
        return rc;
    }
    if (!differs) {
        *ret_result = (struct catalog_result){ .is_noop = true, .idx = store_version(cat->store) };
        return 0;
    }
    struct service_job job = { .args = report };
    struct store_op op = { .name = "keeper.active", .fn = report_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

/* ---- suggestions ---- */

static int read_cluster_of_shard(struct db *db, int64_t shard_id, struct wish *wish, char *ret_tag,
                                 size_t tag_size, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SHARD_CLUSTER, QUERY_ARGS(QI(shard_id)));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        wish->org_pk = db_col_i64(&s, 0);
        (void)snprintf(ret_tag, tag_size, "%s", db_col_text(&s, 1));
    }
    return rc < 0 ? rc : 0;
}

static int suggest_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct keeper_wish *asked = job->args;
    struct dc_ref dc = { 0 };
    char tag[33] = "";
    struct wish wish = { .tag = tag, .avoid = asked->avoid, .avoid_count = asked->avoid_count };
    int rc = find_dc(job->cat, db, asked->dc ? asked->dc : "", &dc, err);
    if (rc == 0 && !dc.id) {
        return xp_fail(err, XP_NOT_FOUND, "DC name does not exist");
    }
    wish.dc_id = dc.id;
    if (rc == 0) {
        rc = read_cluster_of_shard(db, asked->shard_id, &wish, tag, sizeof(tag), err);
    }
    return rc == 0 ? find_homes(job->cat, db, &wish, job->ret, err) : rc;
}

int keepers_suggest(struct catalog *cat, const struct keeper_wish *wish,
                    struct keeper_homes *ret_homes, struct xp_err *err)
{
    struct keeper_homes homes = { .count = 0 };
    struct read_job job = { .cat = cat, .args = wish, .ret = &homes };
    int rc = store_read(cat->store, suggest_in, &job, err);
    if (rc == 0) {
        *ret_homes = homes;
    }
    return rc;
}

/* Moves the rows of the pool into the list, in the order of the choice. */
static void take_pool(struct material *m, struct keeper_container_rows *out)
{
    CLEANUP(keeper_choice_done) struct keeper_choice choice = { 0 };
    keeper_choose(&m->facts, &choice);
    out->items = xcalloc(m->rows.count + 1, sizeof(*out->items));
    for (size_t i = 0; i < m->rows.count; i++) {
        size_t at = choice.order[i];
        bool is_in_pool =
            choice.verdicts[at] != KEEPER_INACTIVE && choice.verdicts[at] != KEEPER_OTHER_ORG;
        if (is_in_pool) {
            out->items[out->count++] = m->rows.items[at];
            m->rows.items[at] = (struct keeper_container_row){ 0 };
        }
    }
}

static int pool_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct shard_place *place = job->args;
    CLEANUP(material_done) struct material m = { 0 };
    struct cluster_ref cluster;
    struct dc_ref dc = { 0 };
    int rc = find_cluster(db, place->cluster ? place->cluster : "", &cluster, err);
    if (rc == 0 && !cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "not found cluster %s",
                       place->cluster ? place->cluster : "");
    }
    if (rc == 0) {
        rc = find_dc(job->cat, db, place->dc ? place->dc : "", &dc, err);
    }
    struct wish wish = { .dc_id = dc.id, .org_pk = cluster.org_pk, .tag = cluster.tag };
    if (rc == 0 && dc.id) {
        rc = gather(job->cat, db, &wish, &m, err);
    }
    if (rc == 0) {
        take_pool(&m, job->ret);
    }
    return rc;
}

int keepers_pool(struct catalog *cat, const struct shard_place *place,
                 struct keeper_container_rows *ret_rows, struct xp_err *err)
{
    struct keeper_container_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = place, .ret = &rows };
    int rc = store_read(cat->store, pool_in, &job, err);
    if (rc == 0) {
        *ret_rows = rows;
    }
    return rc;
}
