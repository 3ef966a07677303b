/* Zones, keeper containers and keepers: texts, one transaction, run ids, ports, who is told, what documents show. */
#include "console/catalog/azs.h"
#include "console/catalog/keeper_containers.h"
#include "console/catalog/keepers.h"
#include "console/catalog/shard_page.h"
#include "tests/unit/catalog_fixture.h"

#include <sqlite3.h>

#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- one-line ways ---- */

static struct keeper_container_edit container(const char *dc, const char *ip)
{
    return (struct keeper_container_edit){ .dc = dc, .ip = ip, .port = 8080, .active = TRI_YES };
}

static void add_container(struct world *w, const char *dc, const char *ip)
{
    struct keeper_container_edit edit = container(dc, ip);
    OK(w, keeper_containers_create, &edit);
}

static int fill(struct world *w, const char *shard, const char *dc, const char *redises)
{
    struct shard_part part = { .shard = shard, .dc = dc, .text = redises };
    struct shards_with_redises args = {
        .cluster = "demo", .parts = &part, .count = 1, .is_one_shard = true
    };
    return DO(w, shards_create_with_redises, &args);
}

/* "10.0.0.1:6380@1 10.0.0.2:6380@2*": address, container, * active. Returns owned (free). */
static char *keepers_text(struct world *w, const char *dc, const char *shard)
{
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    struct shard_place place = { "demo", dc, shard };
    struct str text = STR_INIT(4096);
    assert_int_equal(keepers_list(&w->cat, &place, &rows, &w->err), 0);
    for (size_t i = 0; i < rows.count; i++) {
        const struct redis_row *row = &rows.items[i];
        str_printf(&text, "%s%s@%lld%s", i ? " " : "", ADDR_TEXT(&row->addr),
                   (long long)row->container_id, row->is_active ? "*" : "");
        assert_int_equal(strlen(row->run_id), 40);
        assert_string_equal(row->run_id, rows.items[0].run_id);
    }
    return str_take(&text);
}

#define ASSERT_KEEPERS(w, dc, shard, expected)                                                     \
    do {                                                                                           \
        AUTO_FREE char *keepers_ = keepers_text(w, dc, shard);                                     \
        assert_string_equal(keepers_, expected);                                                   \
    } while (0)

static char *run_id(struct world *w, const char *dc, const char *shard)
{
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    struct shard_place place = { "demo", dc, shard };
    assert_int_equal(keepers_list(&w->cat, &place, &rows, &w->err), 0);
    assert_true(rows.count > 0);
    return xstrdup(rows.items[0].run_id);
}

static int64_t log_length(struct world *w)
{
    return store_version(w->store);
}

static int64_t outbox_length(struct world *w)
{
    int64_t count = 0;
    assert_int_equal(outbox_count(w->store, &count, &w->err), 0);
    return count;
}

static void empty_outbox(struct world *w)
{
    CLEANUP(outbox_rows_done) struct outbox_rows rows = { 0 };
    assert_int_equal(outbox_list(w->store, 0, 1000, &rows, &w->err), 0);
    assert_int_equal(outbox_ack(w->store, rows.items, rows.count, &w->err), 0);
}

static int64_t dc_version(struct world *w, const char *dc)
{
    int64_t version = 0;
    assert_int_equal(catalog_dc_version(&w->cat, dc, &version, &w->err), 0);
    return version;
}

/* ---- zones and containers ---- */

static void zones_of_a_dc(void **state)
{
    struct world *w = *state;
    struct az_edit edit = { .name = "az1" };
    FAILS(w, XP_INVALID, "dcName empty", azs_create, &edit);
    edit = (struct az_edit){ .dc = "jq" };
    FAILS(w, XP_INVALID, "azName empty", azs_create, &edit);
    edit = (struct az_edit){ .dc = "xx", .name = "az1" };
    FAILS(w, XP_NOT_FOUND, "DC name xx does not exist", azs_create, &edit);
    edit.dc = "jq";
    FAILS(w, XP_NOT_FOUND, "availablezone az1 not found", azs_update, &edit);
    OK(w, azs_create, &edit);
    ASSERT_EFFECTS(w, "document :jq");
    edit.dc = "oy";
    FAILS(w, XP_CONFLICT, "available zone : az1 already exists", azs_create, &edit);
    FAILS(w, XP_NOT_FOUND, "availablezone az1 not found", azs_update, &edit);
    edit = (struct az_edit){ .dc = "jq", .name = "AZ1", .description = "new" };
    OK(w, azs_update, &edit);
    edit.description = NULL;
    OK(w, azs_update, &edit);
    assert_true(w->result.is_noop);
    edit.active = TRI_NO;
    OK(w, azs_update, &edit);
    ASSERT_EFFECTS(w, "document :jq");
    CLEANUP(az_rows_done) struct az_rows rows = { 0 };
    assert_int_equal(azs_list(&w->cat, "jq", &rows, &w->err), 0);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.items[0].description, "new");
    assert_false(rows.items[0].is_active);

    struct keeper_container_edit there = container("jq", "10.0.0.1");
    there.az = "az1";
    OK(w, keeper_containers_create, &there);
    FAILS(w, XP_CONFLICT, "This az az1 is not empty, can not be deleted", azs_delete, "az1");
    OK(w, keeper_containers_delete, &(struct addr){ "10.0.0.1", 8080 });
    OK(w, azs_delete, "az1");
    ASSERT_EFFECTS(w, "document :jq");
    FAILS(w, XP_NOT_FOUND, "availablezone az1 not found", azs_delete, "az1");
}

static void a_container_is_checked(void **state)
{
    struct world *w = *state;
    struct keeper_container_edit edit = container("jq", "host");
    FAILS(w, XP_INVALID, "Illegal IP Address", keeper_containers_create, &edit);
    edit.ip = NULL;
    FAILS(w, XP_INVALID, "Illegal IP Address", keeper_containers_create, &edit);
    edit = container("jq", "10.0.0.1");
    edit.port = 0;
    FAILS(w, XP_INVALID, "Illegal Port", keeper_containers_create, &edit);
    edit = container("xx", "10.0.0.1");
    FAILS(w, XP_NOT_FOUND, "DC name does not exist", keeper_containers_create, &edit);
    edit = container("jq", "10.0.0.1");
    edit.org_id = 77;
    FAILS(w, XP_NOT_FOUND, "Org Id does not exist in database", keeper_containers_create, &edit);
    edit.org_id = 8;
    edit.az = "az9";
    FAILS(w, XP_NOT_FOUND, "available zone az9 is not exist", keeper_containers_create, &edit);
    struct az_edit az = { .dc = "oy", .name = "az9" };
    OK(w, azs_create, &az); /* of another DC */
    FAILS(w, XP_NOT_FOUND, "available zone az9 is not exist", keeper_containers_create, &edit);
    edit.az = NULL;
    OK(w, keeper_containers_create, &edit);
    ASSERT_EFFECTS(w, "document :jq");
    FAILS(w, XP_CONFLICT, "Keeper Container with IP: 10.0.0.1 already exists",
          keeper_containers_create, &edit);
    assert_int_equal(keeper_containers_check_new(&w->cat, &edit, &w->err), XP_CONFLICT);
    edit.port = 8081; /* another container of the same host */
    assert_int_equal(keeper_containers_check_new(&w->cat, &edit, &w->err), 0);
}

static const struct keeper_container_row *only_row(struct world *w,
                                                   struct keeper_container_rows *rows)
{
    keeper_container_rows_done(rows);
    assert_int_equal(keeper_containers_list(&w->cat, "jq", rows, &w->err), 0);
    assert_int_equal(rows->count, 1);
    return &rows->items[0];
}

static void an_update_replaces_all_but_the_disk_type(void **state)
{
    struct world *w = *state;
    CLEANUP(keeper_container_rows_done) struct keeper_container_rows rows = { 0 };
    struct keeper_container_edit edit = container("jq", "10.0.0.1");
    FAILS(w, XP_NOT_FOUND, "10.0.0.1:8080 keeper container not found", keeper_containers_update,
          &edit);
    edit.active = TRI_ABSENT;
    edit.org_id = 8;
    edit.tag = "t";
    edit.disk_type = "tfs";
    OK(w, keeper_containers_create, &edit);
    ASSERT_EFFECTS(w, ""); /* inactive: no document shows it */
    const struct keeper_container_row *row = only_row(w, &rows);
    assert_false(row->is_active); /* as in x-pipe */
    assert_string_equal(row->disk_type, "TFS");
    assert_string_equal(row->org_name, "cache");
    assert_int_equal(row->org_id, 8);

    edit = container(NULL, "10.0.0.1");
    OK(w, keeper_containers_update, &edit);
    ASSERT_EFFECTS(w, "document :jq");
    assert_string_equal(w->result.warning, "");
    row = only_row(w, &rows);
    assert_true(row->is_active);
    assert_string_equal(row->disk_type, "TFS");
    assert_string_equal(row->tag, "");
    assert_int_equal(row->org_id, 0);
    OK(w, keeper_containers_update, &edit);
    assert_true(w->result.is_noop);

    edit.active = TRI_ABSENT;
    OK(w, keeper_containers_update, &edit);
    assert_string_equal(w->result.warning,
                        "active was not sent: keeper container 10.0.0.1:8080 is inactive now");
    ASSERT_EFFECTS(w, "document :jq");
    edit.dc = "oy";
    FAILS(w, XP_INVALID, "dcName oy: a keeper container cannot move to another DC",
          keeper_containers_update, &edit);
}

static void a_container_in_use_stays(void **state)
{
    struct world *w = *state;
    struct addr addr = addr_of("10.0.0.1", 8080);
    FAILS(w, XP_NOT_FOUND, "Cannot find keepercontainer", keeper_containers_delete, &addr);
    add_container(w, "jq", "10.0.0.1");
    add_container(w, "jq", "10.0.0.2");
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(fill(w, "s1", "jq", "10.0.1.1:6379"), 0);
    FAILS(w, XP_CONFLICT, "This keepercontainer 10.0.0.1:8080 is not empty, unable to delete!",
          keeper_containers_delete, &addr);
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    struct shard_place place = { "demo", "jq", "s1" };
    OK(w, keepers_remove, &place, &rows);
    OK(w, keeper_containers_delete, &addr);
    ASSERT_EFFECTS(w, "document :jq");
    add_container(w, "jq", "10.0.0.1"); /* the address is free again */
}

/* ---- keepers ---- */

static void two_keepers_in_each_listed_dc(void **state)
{
    struct world *w = *state;
    add_container(w, "jq", "10.0.0.1");
    add_container(w, "jq", "10.0.0.2");
    add_container(w, "jq", "10.0.0.3");
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(fill(w, "s1", "jq", "10.0.1.1:6379"), 0);
    assert_int_equal(w->result.changed_count, 4); /* shard, redis, keepers */
    ASSERT_EFFECTS(w, "changed demo:jq,oy");
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.1:6380@1 10.0.0.2:6380@2");
    /* D11: no container in oy, and that is fine */
    assert_int_equal(fill(w, "s1", "oy", "10.0.2.1:6379"), 0);
    ASSERT_KEEPERS(w, "oy", "s1", "");
    ASSERT_EFFECTS(w, "changed demo:oy");
    /* balanced: the one without keepers first */
    assert_int_equal(fill(w, "s2", "jq", "10.0.1.2:6379"), 0);
    ASSERT_KEEPERS(w, "jq", "s2", "10.0.0.3:6380@3 10.0.0.1:6381@1");
    AUTO_FREE char *one = run_id(w, "jq", "s1");
    AUTO_FREE char *two = run_id(w, "jq", "s2");
    assert_string_not_equal(one, two);
    /* two are enough */
    int64_t version = log_length(w);
    assert_int_equal(fill(w, "s1", "jq", "10.0.1.1:6379"), 0);
    assert_true(w->result.is_noop);
    assert_int_equal(log_length(w), version);
    /* a type without keepers */
    add_cluster(w, "bi", "bi_direction", "jq,oy");
    add_shard(w, "bi", "s1", "jq", "10.0.1.9:6379");
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    struct shard_place place = { "bi", "jq", "s1" };
    assert_int_equal(keepers_list(&w->cat, &place, &rows, &w->err), 0);
    assert_int_equal(rows.count, 0);
}

static void too_few_containers_store_nothing(void **state)
{
    struct world *w = *state;
    add_container(w, "oy", "10.0.0.1");
    add_cluster(w, "demo", NULL, "jq,oy");
    int64_t version = log_length(w);
    struct shard_part parts[] = { { .shard = "s1", .dc = "jq", .text = "10.0.1.1:6379" },
                                  { .shard = "s1", .dc = "oy", .text = "10.0.2.1:6379" } };
    struct shards_with_redises args = { "demo", parts, 2, true };
    FAILS(w, XP_CONFLICT, "Organization keepers size:1, but we need:2", shards_create_with_redises,
          &args);
    assert_int_equal(log_length(w), version);
    CLEANUP(shard_rows_done) struct shard_rows rows = { 0 };
    assert_int_equal(shards_list(&w->cat, "demo", 0, &rows, &w->err), 0);
    assert_int_equal(rows.count, 0);
    /* an inactive container is one, too: the DC has containers, too few of them */
    struct keeper_container_edit off = container("oy", "10.0.0.1");
    off.active = TRI_NO;
    OK(w, keeper_containers_update, &off);
    FAILS(w, XP_CONFLICT, "Organization keepers size:0, but we need:2", shards_create_with_redises,
          &args);
    off.active = TRI_YES;
    OK(w, keeper_containers_update, &off);
    add_container(w, "oy", "10.0.0.2");
    OK(w, shards_create_with_redises, &args); /* the same call again */
    ASSERT_KEEPERS(w, "oy", "s1", "10.0.0.1:6380@1 10.0.0.2:6380@2");
}

static void ports_are_unique_at_an_address(void **state)
{
    struct world *w = *state;
    struct keeper_container_edit one = container("jq", "127.0.0.1");
    struct keeper_container_edit two = container("jq", "127.0.0.1");
    one.port = 6382; /* its own port is taken, too */
    OK(w, keeper_containers_create, &one);
    OK(w, keeper_containers_create, &two);
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(fill(w, "s1", "jq", "127.0.0.1:6380"), 0); /* a redis there */
    ASSERT_KEEPERS(w, "jq", "s1", "127.0.0.1:6381@1 127.0.0.1:6383@2");
}

static int fill_many(struct world *w, const char *const *shards, size_t count)
{
    struct shard_part parts[8];
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct shard_part){ .shard = shards[i], .dc = "jq" };
    }
    struct shards_with_redises args = { .cluster = "demo", .parts = parts, .count = count };
    return DO(w, shards_create_with_redises, &args);
}

static int64_t count_at(struct world *w, size_t container)
{
    CLEANUP(keeper_container_rows_done) struct keeper_container_rows rows = { 0 };
    assert_int_equal(keeper_containers_list(&w->cat, "jq", &rows, &w->err), 0);
    return rows.items[container].keeper_count;
}

/* Behind the catalog's back: it never leaves one keeper alone. */
static void lose_keeper(struct world *w, const char *ip, int port)
{
    sqlite3 *raw = NULL;
    AUTO_FREE char *text = xasprintf(
        "UPDATE redis_tbl SET deleted_at = 1 WHERE redis_ip = '%s' AND redis_port = %d", ip, port);
    assert_int_equal(sqlite3_open(w->path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(raw), 1);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

static void many_shards_in_one_call(void **state)
{
    struct world *w = *state;
    CLEANUP(redis_rows_done) struct redis_rows gone = { 0 };
    add_container(w, "jq", "10.0.0.1");
    add_container(w, "jq", "10.0.0.2");
    add_cluster(w, "demo", NULL, "jq,oy");
    static const char *const first[] = { "s1", "s2", "s3" };
    assert_int_equal(fill_many(w, first, 3), 0);
    ASSERT_KEEPERS(w, "jq", "s3", "10.0.0.1:6382@1 10.0.0.2:6382@2");
    assert_int_equal(count_at(w, 0), 3);
    struct shard_place place = { "demo", "jq", "s2" };
    OK(w, keepers_remove, &place, &gone);
    assert_int_equal(count_at(w, 1), 2);
    static const char *const second[] = { "s4", "s5" };
    assert_int_equal(fill_many(w, second, 2), 0);
    ASSERT_KEEPERS(w, "jq", "s4", "10.0.0.1:6381@1 10.0.0.2:6381@2"); /* the gap first */
    ASSERT_KEEPERS(w, "jq", "s5", "10.0.0.1:6383@1 10.0.0.2:6383@2");
    /* one left is replaced by two, and its port is free again for the next shard of the same call */
    lose_keeper(w, "10.0.0.2", 6380);
    assert_int_equal(count_at(w, 1), 3);
    static const char *const third[] = { "s6", "s1", "s7" };
    assert_int_equal(fill_many(w, third, 3), 0);
    ASSERT_KEEPERS(w, "jq", "s6", "10.0.0.2:6380@2 10.0.0.1:6384@1");
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.1:6380@1 10.0.0.2:6384@2");
    ASSERT_KEEPERS(w, "jq", "s7", "10.0.0.1:6385@1 10.0.0.2:6385@2");
    assert_int_equal(count_at(w, 0), 6);
    assert_int_equal(count_at(w, 1), 6);
    struct cluster_delete all = { "demo", false };
    OK(w, clusters_delete, &all);
    assert_int_equal(count_at(w, 0), 0);
    assert_int_equal(count_at(w, 1), 0);
}

static bool is_second(void *arg, int64_t id)
{
    (void)arg;
    return id == 2;
}

static void the_facts_of_a_choice_come_from_the_tables(void **state)
{
    struct world *w = *state;
    for (int i = 1; i <= 2; i++) {
        AUTO_FREE char *name = xasprintf("az%d", i);
        struct az_edit az = { .dc = "jq", .name = name };
        OK(w, azs_create, &az);
    }
    /* 1 other organization, 2 unhealthy, 3 and 4 the same zone, 5 other tag, 6 fits, 7 TFS, 8 an inactive zone */
    static const struct {
        int64_t org;
        const char *az, *tag, *disk;
    } specs[] = { { 0, "az1", "", NULL },   { 8, "az1", "t", NULL }, { 8, "az1", "t", NULL },
                  { 8, "az1", "t", NULL },  { 8, "az2", "", NULL },  { 8, "az2", "t", "SSD" },
                  { 8, "az2", "t", "TFS" }, { 8, "az3", "t", NULL } };
    struct az_edit off = { .dc = "jq", .name = "az3", .active = TRI_NO };
    OK(w, azs_create, &off);
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        AUTO_FREE char *ip = xasprintf("10.0.0.%zu", i + 1);
        struct keeper_container_edit edit = container("jq", ip);
        edit.org_id = specs[i].org;
        edit.az = specs[i].az;
        edit.tag = specs[i].tag;
        edit.disk_type = specs[i].disk;
        OK(w, keeper_containers_create, &edit);
    }
    w->cat.keeper_rules.is_unhealthy = is_second;
    add_cluster(w, "demo", NULL, "jq,oy"); /* organization 8 */
    struct cluster_update tag = { .name = "demo", .tag = "t" };
    OK(w, clusters_update, &((struct cluster_updates){ &tag, 1 }));
    assert_int_equal(fill(w, "s1", "jq", "10.0.1.1:6379"), 0);
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.3:6380@3 10.0.0.6:6380@6");
}

static void keepers_on_demand(void **state)
{
    struct world *w = *state;
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    struct shard_place place = { "demo", "oy", "s1" };
    add_cluster(w, "demo", NULL, "jq,oy");
    add_shard(w, "demo", "s1", "oy", "10.0.1.1:6379");
    FAILS(w, XP_CONFLICT, "insert fail:Organization keepers size:0, but we need:2", keepers_add,
          &place, &rows);
    add_container(w, "oy", "10.0.0.1");
    add_container(w, "oy", "10.0.0.2");
    OK(w, keepers_add, &place, &rows);
    assert_int_equal(rows.count, 2);
    ASSERT_EFFECTS(w, "changed demo:oy");
    AUTO_FREE char *first = run_id(w, "oy", "s1");
    redis_rows_done(&rows);
    OK(w, keepers_add, &place, &rows); /* idempotent */
    assert_true(w->result.is_noop);
    assert_int_equal(rows.count, 2);
    redis_rows_done(&rows);

    OK(w, keepers_remove, &place, &rows);
    assert_int_equal(rows.count, 2);
    ASSERT_EFFECTS(w, "changed demo:oy");
    ASSERT_KEEPERS(w, "oy", "s1", "");
    redis_rows_done(&rows);
    OK(w, keepers_remove, &place, &rows);
    assert_true(w->result.is_noop);
    OK(w, keepers_add, &place, &rows);
    AUTO_FREE char *again = run_id(w, "oy", "s1");
    assert_string_equal(first, again); /* the replication identity survives */
    redis_rows_done(&rows);

    struct shard_place wrong = { "none", "oy", "s1" };
    FAILS(w, XP_NOT_FOUND, "not found cluster none", keepers_add, &wrong, &rows);
    FAILS(w, XP_NOT_FOUND, "unfound cluster none", keepers_remove, &wrong, &rows);
    wrong = (struct shard_place){ "demo", "xx", "s1" };
    FAILS(w, XP_NOT_FOUND, "not found: dc:xx, cluster:demo, shard:s1", keepers_add, &wrong, &rows);
    OK(w, keepers_remove, &wrong, &rows);
    assert_true(w->result.is_noop);
    add_cluster(w, "bi", "bi_direction", "jq,oy");
    wrong.cluster = "bi";
    FAILS(w, XP_INVALID, "cluster bi not support keepers", keepers_add, &wrong, &rows);
    FAILS(w, XP_INVALID, "unsupported cluster type", keepers_remove, &wrong, &rows);
}

/* ---- reports ---- */

static const struct snap_redis *keeper_in_document(const struct dc_snapshot *snap, size_t at)
{
    assert_int_equal(snap->clusters[0].shards[0].keeper_count, 2);
    return &snap->clusters[0].shards[0].keepers[at];
}

static void a_report_sets_one_flag_and_pushes_nothing(void **state)
{
    struct world *w = *state;
    add_container(w, "jq", "10.0.0.1");
    add_container(w, "jq", "10.0.0.2");
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(fill(w, "s1", "jq", "10.0.1.1:6379"), 0);
    empty_outbox(w);
    int64_t other_dc = dc_version(w, "oy");
    struct keeper_report report = { .place = { "demo", "jq", "s1" },
                                    .addr = addr_of("10.0.0.2", 6380),
                                    .container_id = 1 };
    OK(w, keepers_report_active, &report);
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.1:6380@1 10.0.0.2:6380@2*");
    assert_int_equal(outbox_length(w), 0);
    struct dc_snapshot *snap = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "jq", 0, &snap, &w->err), 0);
    assert_false(keeper_in_document(snap, 0)->is_active);
    assert_true(keeper_in_document(snap, 1)->is_active);
    assert_int_equal(snap->clusters[0].version, log_length(w)); /* caches must see it */
    assert_int_equal(snap->dc_version, log_length(w));
    dc_snapshot_free(snap);
    assert_int_equal(dc_version(w, "oy"), other_dc);

    int64_t version = log_length(w);
    OK(w, keepers_report_active, &report); /* the same again writes nothing */
    assert_true(w->result.is_noop);
    assert_int_equal(log_length(w), version);

    report.addr = addr_of("10.0.0.9", 1); /* nobody's: by container */
    OK(w, keepers_report_active, &report);
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.1:6380@1* 10.0.0.2:6380@2");
    report.container_id = 9;
    assert_int_equal(DO(w, keepers_report_active, &report), XP_NOT_FOUND);
    report.container_id = 0;
    assert_int_equal(DO(w, keepers_report_active, &report), XP_NOT_FOUND);
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.1:6380@1* 10.0.0.2:6380@2"); /* nothing is guessed */
    report.place.shard = "none";
    FAILS(w, XP_NOT_FOUND, "not found: dc:jq, cluster:demo, shard:none", keepers_report_active,
          &report);
}

static void containers_reach_the_document(void **state)
{
    struct world *w = *state;
    add_container(w, "jq", "10.0.0.1");
    add_container(w, "jq", "10.0.0.2");
    int64_t version = dc_version(w, "jq");
    assert_int_equal(version, log_length(w));
    struct keeper_container_edit off = container("jq", "10.0.0.1");
    off.active = TRI_NO;
    OK(w, keeper_containers_update, &off);
    assert_true(dc_version(w, "jq") > version);
    struct dc_snapshot *snap = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "jq", 0, &snap, &w->err), 0);
    assert_int_equal(snap->container_count, 1);
    assert_string_equal(snap->containers[0].ip, "10.0.0.2");
    dc_snapshot_free(snap);
    CLEANUP(outbox_rows_done) struct outbox_rows rows = { 0 };
    assert_int_equal(outbox_list(w->store, 0, 10, &rows, &w->err), 0);
    assert_int_equal(rows.count, 1); /* the whole document of jq */
    assert_string_equal(rows.items[0].dc_name, "jq");
    assert_string_equal(rows.items[0].cluster_name, "");
}

/* ---- pages ---- */

#define K(ip_, port_, container_)                                                                  \
    {                                                                                              \
        .addr = { ip_, port_ }, .container_id = (container_)                                       \
    }

static int set_keepers(struct world *w, const char *cluster, const struct page_keeper *keepers,
                       size_t count)
{
    struct shard_page_edit edit = { .place = { cluster, "jq", "s1" },
                                    .has_keepers = true,
                                    .keepers = keepers,
                                    .keeper_count = count };
    return DO(w, shard_page_replace, &edit);
}

#define SET_FAILS(w, text, ...)                                                                    \
    do {                                                                                           \
        const struct page_keeper given_[] = { __VA_ARGS__ };                                       \
        assert_true(set_keepers(w, "demo", given_, ARRAY_LEN(given_)) < 0);                        \
        assert_string_equal((w)->err.msg, text);                                                   \
    } while (0)
#define SET(w, ...)                                                                                \
    do {                                                                                           \
        const struct page_keeper given_[] = { __VA_ARGS__ };                                       \
        if (set_keepers(w, "demo", given_, ARRAY_LEN(given_)) != 0) {                              \
            fail_msg("%s", (w)->err.msg);                                                          \
        }                                                                                          \
    } while (0)

/* Containers 1 to 5 in jq, 6 in oy; cluster demo with shard s1, keepers at 1 and 2. */
static void prepare_page(struct world *w)
{
    for (int i = 1; i <= 5; i++) {
        AUTO_FREE char *ip = xasprintf("10.0.0.%d", i);
        add_container(w, "jq", ip);
    }
    add_container(w, "oy", "10.0.0.6");
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(fill(w, "s1", "jq", "10.0.1.1:6379"), 0);
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.1:6380@1 10.0.0.2:6380@2");
}

static void keepers_set_by_hand_are_checked(void **state)
{
    struct world *w = *state;
    prepare_page(w);
    int64_t version = log_length(w);
    SET_FAILS(w, "Keepers' size must be 0 or at least 2", K("10.0.0.1", 6380, 1));
    SET_FAILS(w,
              "Keepers should be assigned to different keepercontainer[10.0.0.1:6380, "
              "10.0.0.1:6381]",
              K("10.0.0.1", 6380, 1), K("10.0.0.1", 6381, 1));
    SET_FAILS(w, "Cannot find related keepercontainer", K("10.0.0.1", 6380, 1),
              K("10.0.0.9", 6380, 9));
    SET_FAILS(w, "Cannot find related keepercontainer", K("10.0.0.1", 6380, 1),
              K("10.0.0.6", 6380, 6)); /* of another DC */
    SET_FAILS(w, "Keeper's ip should be equal to keepercontainer's ip", K("10.0.0.1", 6380, 1),
              K("10.0.0.9", 6380, 3));
    SET_FAILS(w, "If you wanna change keeper port in same keepercontainer,please delete it first.",
              K("10.0.0.1", 6390, 1), K("10.0.0.2", 6380, 2));
    SET_FAILS(w, "At most 2 keepers per disk medium", K("10.0.0.1", 6380, 1),
              K("10.0.0.2", 6380, 2), K("10.0.0.3", 6380, 3));
    SET_FAILS(w, "At most 2 keepers per disk medium", K("10.0.0.1", 6380, 1),
              K("10.0.0.2", 6380, 2), K("10.0.0.3", 6380, 3), K("10.0.0.4", 6380, 4),
              K("10.0.0.5", 6380, 5));
    assert_int_equal(fill(w, "s2", "jq", "10.0.1.2:6379"), 0); /* at 3 and 4 */
    SET_FAILS(w, "Already in use for keeper's port : 6380", K("10.0.0.1", 6380, 1),
              K("10.0.0.3", 6380, 3));
    assert_int_equal(log_length(w), version + 1);
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.1:6380@1 10.0.0.2:6380@2");
    add_cluster(w, "bi", "bi_direction", "jq,oy");
    add_shard(w, "bi", "s1", "jq", "10.0.1.9:6379");
    const struct page_keeper two[] = { K("10.0.0.1", 6390, 1), K("10.0.0.2", 6390, 2) };
    assert_int_equal(set_keepers(w, "bi", two, 2), XP_INVALID);
    assert_string_equal(w->err.msg, "cluster bi not support keepers");
    assert_int_equal(set_keepers(w, "none", two, 2), XP_NOT_FOUND);
}

static void given_keepers_replace_the_stored_ones(void **state)
{
    struct world *w = *state;
    prepare_page(w);
    AUTO_FREE char *before = run_id(w, "jq", "s1");
    SET(w, K("10.0.0.2", 6380, 2), K("10.0.0.3", 7000, 3));
    ASSERT_EFFECTS(w, "changed demo:jq");
    assert_int_equal(w->result.changed_count, 2);
    ASSERT_KEEPERS(w, "jq", "s1", "10.0.0.2:6380@2 10.0.0.3:7000@3");
    AUTO_FREE char *after = run_id(w, "jq", "s1");
    assert_string_equal(before, after);
    SET(w, K("10.0.0.3", 7000, 3), K("10.0.0.2", 6380, 2));
    assert_true(w->result.is_noop);

    struct page_keeper preferred[] = { K("10.0.0.2", 6380, 2), K("10.0.0.3", 7000, 3) };
    preferred[1].has_priority = true;
    preferred[1].priority = 5;
    assert_int_equal(set_keepers(w, "demo", preferred, 2), 0);
    ASSERT_EFFECTS(w, "changed demo:jq"); /* the metaserver elects anew */
    struct dc_snapshot *snap = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "jq", 0, &snap, &w->err), 0);
    assert_int_equal(keeper_in_document(snap, 0)->priority, 1);
    assert_int_equal(keeper_in_document(snap, 1)->priority, 5);
    dc_snapshot_free(snap);
    preferred[1].priority = -1;
    assert_int_equal(set_keepers(w, "demo", preferred, 2), XP_INVALID);

    assert_int_equal(set_keepers(w, "demo", preferred, 0), 0); /* none */
    ASSERT_KEEPERS(w, "jq", "s1", "");
}

/* "10.0.1.1:6379* 10.0.1.2:6379": * the master. Returns owned (free). */
static char *redises_text(struct world *w)
{
    CLEANUP(shard_page_done) struct shard_page page = { 0 };
    struct shard_place place = { "demo", "jq", "s1" };
    struct str text = STR_INIT(4096);
    assert_int_equal(shard_page_get(&w->cat, &place, &page, &w->err), 0);
    assert_string_equal(page.shard, "s1");
    assert_int_equal(page.keepers.count, 2); /* never touched by what is given here */
    for (size_t i = 0; i < page.redises.count; i++) {
        str_printf(&text, "%s%s%s", i ? " " : "", ADDR_TEXT(&page.redises.items[i].addr),
                   page.redises.items[i].is_master ? "*" : "");
    }
    return str_take(&text);
}

static int set_redises(struct world *w, const struct page_redis *redises, size_t count)
{
    struct shard_page_edit edit = { .place = { "demo", "jq", "s1" },
                                    .has_redises = true,
                                    .redises = redises,
                                    .redis_count = count };
    return DO(w, shard_page_replace, &edit);
}

#define ASSERT_REDISES(w, expected)                                                                \
    do {                                                                                           \
        AUTO_FREE char *redises_ = redises_text(w);                                                \
        assert_string_equal(redises_, expected);                                                   \
    } while (0)

static void given_redises_replace_the_stored_ones(void **state)
{
    struct world *w = *state;
    prepare_page(w);
    struct page_redis given[] = { { .addr = { "10.0.1.2", 6379 }, .master = TRI_YES },
                                  { .addr = { "10.0.1.3", 6379 } } };
    assert_int_equal(set_redises(w, given, 2), 0);
    ASSERT_EFFECTS(w, "changed demo:jq");
    ASSERT_REDISES(w, "10.0.1.2:6379* 10.0.1.3:6379");
    given[0].master = TRI_ABSENT; /* stays */
    assert_int_equal(set_redises(w, given, 2), 0);
    assert_true(w->result.is_noop);
    given[0].master = TRI_NO; /* the flag moves */
    given[1].master = TRI_YES;
    assert_int_equal(set_redises(w, given, 2), 0);
    ASSERT_REDISES(w, "10.0.1.2:6379 10.0.1.3:6379*");
    given[0].master = TRI_YES;
    assert_int_equal(set_redises(w, given, 2), XP_INVALID);
    assert_string_equal(w->err.msg, "redises: 2 masters are given, at most one can be");
    given[0] = (struct page_redis){ .addr = { "10.0.0.1", 6380 } }; /* a keeper's */
    assert_int_equal(set_redises(w, given, 2), XP_CONFLICT);
    assert_string_equal(w->err.msg, "Redis already exists, 10.0.0.1:6380");
    given[0] = (struct page_redis){ .addr = { "10.0.1.4", 6379 }, .az_id = 7 };
    assert_int_equal(set_redises(w, given, 2), XP_NOT_FOUND);
    ASSERT_REDISES(w, "10.0.1.2:6379 10.0.1.3:6379*");
    assert_int_equal(set_redises(w, given, 0), 0);
    ASSERT_REDISES(w, "");
}

static void suggestions_reserve_nothing(void **state)
{
    struct world *w = *state;
    prepare_page(w);
    struct keeper_homes homes;
    struct addr avoid = addr_of("10.0.0.3", 6380);
    struct keeper_wish wish = { .dc = "jq", .avoid = &avoid, .avoid_count = 1 };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(keepers_suggest(&w->cat, &wish, &homes, &w->err), 0);
        assert_int_equal(homes.count, 2);
        assert_string_equal(ADDR_TEXT(&homes.items[0].addr), "10.0.0.3:6381");
        assert_string_equal(ADDR_TEXT(&homes.items[1].addr), "10.0.0.4:6380");
    }
    struct keeper_container_edit own = container("jq", "10.0.0.9");
    own.org_id = 8;
    OK(w, keeper_containers_create, &own);
    wish.shard_id = 1; /* its cluster is of organization 8, which has one container now */
    assert_int_equal(keepers_suggest(&w->cat, &wish, &homes, &w->err), XP_CONFLICT);
    assert_string_equal(w->err.msg, "Organization keepers size:1, but we need:2");
    wish.dc = "FRA";
    assert_int_equal(keepers_suggest(&w->cat, &wish, &homes, &w->err), 0);
    assert_int_equal(homes.count, 0);
    wish.dc = "xx";
    assert_int_equal(keepers_suggest(&w->cat, &wish, &homes, &w->err), XP_NOT_FOUND);

    CLEANUP(keeper_container_rows_done) struct keeper_container_rows pool = { 0 };
    struct shard_place place = { .cluster = "demo", .dc = "jq" };
    assert_int_equal(keepers_pool(&w->cat, &place, &pool, &w->err), 0);
    assert_int_equal(pool.count, 1);
    assert_string_equal(pool.items[0].addr.host, "10.0.0.9");
    keeper_container_rows_done(&pool);
    own.active = TRI_NO;
    OK(w, keeper_containers_update, &own);
    assert_int_equal(keepers_pool(&w->cat, &place, &pool, &w->err), 0);
    assert_int_equal(pool.count, 5);
    assert_int_equal(pool.items[0].id, 3);
    assert_int_equal(pool.items[4].id, 2);
    assert_int_equal(pool.items[4].keeper_count, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(zones_of_a_dc),
        TEST(a_container_is_checked),
        TEST(an_update_replaces_all_but_the_disk_type),
        TEST(a_container_in_use_stays),
        TEST(two_keepers_in_each_listed_dc),
        TEST(too_few_containers_store_nothing),
        TEST(ports_are_unique_at_an_address),
        TEST(many_shards_in_one_call),
        TEST(the_facts_of_a_choice_come_from_the_tables),
        TEST(keepers_on_demand),
        TEST(a_report_sets_one_flag_and_pushes_nothing),
        TEST(containers_reach_the_document),
        TEST(keepers_set_by_hand_are_checked),
        TEST(given_keepers_replace_the_stored_ones),
        TEST(given_redises_replace_the_stored_ones),
        TEST(suggestions_reserve_nothing),
    };
    return cmocka_run_group_tests_name("catalog_keepers", tests, NULL, NULL);
}
