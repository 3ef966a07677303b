/* dc_store_test.c - documents and pushes applied, what the listener is told, and the table of routes. */
#include <stdio.h>

#include "meta/dcmeta/dc_store.h"
#include "shared/base/log.h"
#include "tests/unit/dc_fixture.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

struct listening {
    struct dc_store *store;
    struct str told; /* "+a-b=c>d " in order: added, removed, changed, renamed */
    int routes;
};

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    struct listening *l = arg;
    if (!before) {
        str_printf(&l->told, "+%s ", after->name);
    } else if (!after) {
        str_printf(&l->told, "-%s ", before->name);
    } else {
        str_printf(&l->told, "%s>%s ", before->name, after->name);
    }
    if (after) { /* the new state is visible already */
        assert_ptr_equal(dc_store_cluster(l->store, after->name), after);
        assert_ptr_equal(dc_store_cluster_by_id(l->store, after->db_id), after);
    }
}

static void on_routes(void *arg)
{
    ((struct listening *)arg)->routes++;
}

static int open_store(void **state)
{
    struct listening *l = xcalloc(1, sizeof(*l));
    l->told = STR_INIT(65536);
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = l };
    l->store = dc_store_new("JQ", 60000, &listener);
    *state = l;
    return 0;
}

static int close_store(void **state)
{
    struct listening *l = *state;
    dc_store_free(l->store);
    str_done(&l->told);
    free(l);
    return 0;
}

struct limits {
    int removals;
    bool is_accepted;
};

static int apply(struct listening *l, int64_t version, const struct cluster_row *rows,
                 const char *routes, struct limits how)
{
    struct dc_meta *before = dc_store_snapshot(l->store);
    struct dc_meta *after = document_of(version, rows, routes);
    struct dc_diff diff;
    struct brake_limits limits = { .removals = how.removals, .is_accepted = how.is_accepted };
    struct brake_verdict verdict;
    struct xp_err err = { 0 };
    dc_diff_make(before, after, "jq", &diff);
    dc_brake(&diff, &limits, &verdict);
    str_clear(&l->told);
    int rc = dc_store_apply(l->store, dc_store_seq(l->store), after, &diff, &verdict, 500, &err);
    dc_diff_done(&diff);
    dc_meta_free(before);
    dc_meta_free(after);
    return rc;
}

static int apply_plain(struct listening *l, int64_t version, const struct cluster_row *rows)
{
    return apply(l, version, rows, "", (struct limits){ .removals = 20 });
}

static void a_document_comes_in(void **state)
{
    struct listening *l = *state;
    assert_string_equal(dc_store_dc(l->store), "jq");
    assert_false(dc_store_has_document(l->store));
    assert_int_equal(apply_plain(l, 5, ROWS(C("a", 1), C("b", 2))), 0);
    assert_string_equal(str_text(&l->told), "+a +b ");
    assert_true(dc_store_has_document(l->store));
    assert_int_equal(dc_store_version(l->store), 5);
    assert_int_equal(dc_store_confirmed_at(l->store), 500);
    dc_store_confirm(l->store, 900);
    assert_int_equal(dc_store_confirmed_at(l->store), 900);
    assert_int_equal(dc_store_count(l->store), 2);
    assert_int_equal(apply_plain(l, 5, ROWS(C("a", 1), C("b", 2))), 0); /* the same again */
    assert_string_equal(str_text(&l->told), "");
    assert_int_equal(apply_plain(l, 4, ROWS(C("a", 1))), XP_CONFLICT);
    assert_int_equal(dc_store_count(l->store), 2);
    assert_int_equal(apply(l, 4, ROWS(C("a", 1)), "", (struct limits){ .is_accepted = true }), 0);
    assert_int_equal(dc_store_version(l->store), 4);
    assert_string_equal(str_text(&l->told), "-b ");
}

static void a_push_in_between_spoils_a_document(void **state)
{
    struct listening *l = *state;
    assert_int_equal(apply_plain(l, 5, ROWS(C("a", 1))), 0);
    uint64_t seq = dc_store_seq(l->store);
    struct dc_meta *before = dc_store_snapshot(l->store);
    struct dc_meta *after = document_of(6, ROWS(C("a", 1)), "");
    struct dc_diff diff;
    struct brake_verdict verdict = { 0 };
    dc_diff_make(before, after, "jq", &diff);
    /* stamps all the same */
    assert_int_equal(dc_store_remove(l->store, "never-there", 0, 700, NULL), 0);
    assert_int_equal(dc_store_changed_at(l->store), 700);
    assert_int_equal(dc_store_apply(l->store, seq, after, &diff, &verdict, 1, NULL), XP_CONFLICT);
    dc_diff_done(&diff);
    dc_meta_free(before);
    dc_meta_free(after);
}

static void pushes_of_one_cluster(void **state)
{
    struct listening *l = *state;
    assert_int_equal(apply_plain(l, 5, ROWS(C("a", 1, .version = 3), C("b", 2))), 0);
    str_clear(&l->told);
    struct xp_err err = { 0 };
    struct cluster_row row = C("a", 1, "1,2", .version = 8);
    assert_int_equal(dc_store_put(l->store, cluster_of(&row), 600, &err), 0);
    assert_int_equal(dc_store_version(l->store), 8);
    row.version = 7;
    assert_int_equal(dc_store_put(l->store, cluster_of(&row), 600, &err), XP_CONFLICT);
    assert_non_null(strstr(err.msg, "older"));
    row = (struct cluster_row)C("n", 3);
    assert_int_equal(dc_store_put(l->store, cluster_of(&row), 600, &err), 0);
    row = (struct cluster_row)C("b2", 2); /* renamed */
    assert_int_equal(dc_store_put(l->store, cluster_of(&row), 600, &err), 0);
    row = (struct cluster_row)C("b2", 12); /* deleted and made again */
    assert_int_equal(dc_store_put(l->store, cluster_of(&row), 600, &err), 0);
    assert_string_equal(str_text(&l->told), "a>a +n b>b2 -b2 +b2 ");
    assert_null(dc_store_cluster(l->store, "b"));
    assert_null(dc_store_cluster_by_id(l->store, 2));
    assert_int_equal(dc_store_count(l->store), 3);
    str_clear(&l->told);
    assert_int_equal(dc_store_remove(l->store, "b2", 0, 700, &err), 0);
    assert_string_equal(str_text(&l->told), "-b2 ");
    assert_null(dc_store_cluster_by_id(l->store, 12));
    assert_int_equal(apply_plain(l, 7, ROWS(C("a", 1))), XP_CONFLICT); /* from before the push */
}

static void a_late_push_of_a_deleted_namesake(void **state)
{
    struct listening *l = *state;
    struct xp_err err = { 0 };
    assert_int_equal(apply_plain(l, 9, ROWS(C("a", 12, .version = 9))), 0);
    str_clear(&l->told);
    struct cluster_row row = C("a", 2, .version = 7); /* deleted, and made again as 12 since */
    assert_int_equal(dc_store_put(l->store, cluster_of(&row), 600, &err), XP_CONFLICT);
    assert_string_equal(str_text(&l->told), "");
    assert_int_equal(dc_store_cluster(l->store, "a")->db_id, 12);
}

static int put(struct listening *l, struct cluster_row row, struct xp_err *err)
{
    return dc_store_put(l->store, cluster_of(&row), 600, err);
}

/* Version 12 changed the cluster, 14 changed it back; the document of 15 shows what was there all the time. */
static void a_late_push_of_a_change_that_was_undone(void **state)
{
    struct listening *l = *state;
    struct xp_err err = { 0 };
    assert_int_equal(apply_plain(l, 9, ROWS(C("a", 1, .version = 9))), 0);
    assert_int_equal(apply_plain(l, 15, ROWS(C("a", 1, .version = 14))), 0);
    str_clear(&l->told);
    struct cluster_row undone = C("a", 1, "1,2", .version = 12);
    assert_int_equal(put(l, undone, &err), XP_CONFLICT);
    assert_string_equal(str_text(&l->told), "");
    undone.version = 16;
    assert_int_equal(put(l, undone, &err), 0);
    assert_string_equal(str_text(&l->told), "a>a ");
}

/* Found by seed 1541 of the whole-system simulation: what the whole document said was forgotten with the next one. */
static void a_late_push_after_a_document_that_is_held(void **state)
{
    struct listening *l = *state;
    struct xp_err err = { 0 };
    assert_int_equal(apply_plain(l, 9, ROWS(C("a", 1, .version = 9), C("b", 2))), 0);
    assert_int_equal(apply_plain(l, 15, ROWS(C("a", 1, .version = 14), C("b", 2))), 0);
    struct limits none = { .removals = 0 };
    assert_int_equal(apply(l, 16, ROWS(C("a", 1, .version = 14)), "", none), 0);
    assert_int_equal(dc_store_held_count(l->store), 1);
    struct cluster_row undone = C("a", 1, "1,2", .version = 12);
    assert_int_equal(put(l, undone, &err), XP_CONFLICT);
    undone.version = 17;
    assert_int_equal(put(l, undone, &err), 0);
}

static void a_push_that_its_deletion_overtook(void **state)
{
    struct listening *l = *state;
    struct xp_err err = { 0 };
    assert_int_equal(apply_plain(l, 5, ROWS(C("a", 1, .version = 5))), 0);
    assert_int_equal(dc_store_remove(l->store, "a", 9, 700, &err), 0);
    assert_int_equal(dc_store_version(l->store), 9);
    assert_int_equal(put(l, (struct cluster_row)C("a", 1, .version = 8), &err), XP_CONFLICT);
    assert_non_null(strstr(err.msg, "older than its deletion"));
    assert_null(dc_store_cluster(l->store, "a"));
    assert_int_equal(apply_plain(l, 8, ROWS(C("a", 1, .version = 8))), XP_CONFLICT);
    assert_int_equal(put(l, (struct cluster_row)C("a", 2, .version = 10), &err), 0); /* anew */
    assert_int_equal(dc_store_cluster(l->store, "a")->db_id, 2);
}

static void a_deletion_that_the_next_cluster_of_that_name_overtook(void **state)
{
    struct listening *l = *state;
    struct xp_err err = { 0 };
    assert_int_equal(apply_plain(l, 5, ROWS(C("a", 1, .version = 5))), 0);
    assert_int_equal(put(l, (struct cluster_row)C("a", 2, .version = 10), &err), 0);
    uint64_t seq = dc_store_seq(l->store);
    assert_int_equal(dc_store_remove(l->store, "a", 9, 700, &err), XP_CONFLICT);
    assert_non_null(strstr(err.msg, "older"));
    assert_int_equal(dc_store_seq(l->store), seq); /* nothing happened */
    assert_int_equal(dc_store_cluster(l->store, "a")->db_id, 2);
}

static void a_push_of_what_a_newer_document_does_not_have(void **state)
{
    struct listening *l = *state;
    struct xp_err err = { 0 };
    assert_int_equal(apply_plain(l, 5, ROWS(C("a", 1, .version = 5))), 0);
    assert_int_equal(dc_store_remove(l->store, "a", 9, 700, &err), 0);
    assert_int_equal(apply_plain(l, 12, ROWS(C("b", 3, .version = 12))), 0);
    assert_int_equal(put(l, (struct cluster_row)C("a", 1, .version = 8), &err), XP_CONFLICT);
    assert_int_equal(put(l, (struct cluster_row)C("a", 1, .version = 12), &err), XP_CONFLICT);
    assert_int_equal(put(l, (struct cluster_row)C("a", 4, .version = 13), &err), 0);
    assert_int_equal(put(l, (struct cluster_row)C("java", 5), &err), 0); /* says no version */
}

/* A restored console counts from an older version; once an operator accepted it, its pushes count. */
static void after_an_accepted_older_document_deletions_are_forgotten(void **state)
{
    struct listening *l = *state;
    struct xp_err err = { 0 };
    assert_int_equal(apply_plain(l, 50, ROWS(C("a", 1, .version = 50), C("b", 2))), 0);
    assert_int_equal(dc_store_remove(l->store, "b", 60, 700, &err), 0);
    assert_int_equal(
        apply(l, 40, ROWS(C("a", 1, .version = 40)), "", (struct limits){ .is_accepted = true }),
        0);
    assert_int_equal(put(l, (struct cluster_row)C("b", 2, .version = 41), &err), 0);
    assert_int_equal(dc_store_version(l->store), 41);
}

static void what_a_document_confirms(void **state)
{
    struct listening *l = *state;
    assert_false(dc_store_is_confirmed(l->store, "a", MONO_NEVER));
    assert_int_equal(apply_plain(l, 1, ROWS(C("a", 1), C("b", 2), C("c", 3))), 0); /* at 500 */
    assert_true(dc_store_is_confirmed(l->store, "a", 500));
    assert_false(dc_store_is_confirmed(l->store, "a", 501));
    dc_store_confirm(l->store, 700); /* 304 */
    assert_true(dc_store_is_confirmed(l->store, "a", 501));
    struct limits none = { .removals = 0 };
    assert_int_equal(apply(l, 2, ROWS(C("a", 1), C("c", 3)), "", none), 0);
    assert_true(dc_store_is_confirmed(l->store, "a", 500));
    assert_false(dc_store_is_confirmed(l->store, "b", 500)); /* held back */
    assert_int_equal(apply_plain(l, 3, ROWS(C("a", 1), C("b", 2), C("c", 3))), 0);
    assert_true(dc_store_is_confirmed(l->store, "b", 500));
}

static void exchanged_names(void **state)
{
    struct listening *l = *state;
    assert_int_equal(apply_plain(l, 1, ROWS(C("a", 1), C("b", 2))), 0);
    assert_int_equal(apply_plain(l, 2, ROWS(C("b", 1), C("a", 2))), 0);
    assert_int_equal(dc_store_cluster(l->store, "a")->db_id, 2);
    assert_int_equal(dc_store_cluster(l->store, "b")->db_id, 1);
    assert_int_equal(dc_store_count(l->store), 2);
}

/* The old 'a' is held back, so the new 'a' must wait; what has nothing to do with them passes. */
static void a_held_cluster_keeps_its_name(void **state)
{
    struct listening *l = *state;
    assert_int_equal(apply_plain(l, 1, ROWS(C("a", 1), C("b", 2))), 0);
    struct limits none = { .removals = 0 };
    assert_int_equal(apply(l, 2, ROWS(C("a", 7), C("b", 2), C("c", 3)), "", none), 0);
    assert_string_equal(str_text(&l->told), "+c ");
    assert_int_equal(dc_store_cluster(l->store, "a")->db_id, 1);
    assert_null(dc_store_cluster_by_id(l->store, 7));
    assert_int_equal(dc_store_held_count(l->store), 2);
    json_t *held = dc_store_quarantine_json(l->store);
    assert_int_equal(json_integer_value(json_object_get(held, "held")), 2);
    json_decref(held);
    struct limits accepted = { .is_accepted = true };
    assert_int_equal(apply(l, 2, ROWS(C("a", 7), C("b", 2), C("c", 3)), "", accepted), 0);
    assert_int_equal(dc_store_cluster(l->store, "a")->db_id, 7);
    assert_int_equal(dc_store_held_count(l->store), 0);
    assert_int_equal(dc_store_count(l->store), 3);
}

/* b goes to c, a goes to b; c shrinks away and is held: the whole chain waits. */
static void a_chain_of_names_waits_as_a_whole(void **state)
{
    struct listening *l = *state;
    assert_int_equal(apply_plain(l, 1, ROWS(C("a", 1), C("b", 2), C("c", 3))), 0);
    struct limits none = { .removals = 0 };
    assert_int_equal(apply(l, 2, ROWS(C("b", 1), C("c", 2)), "", none), 0);
    assert_string_equal(str_text(&l->told), "");
    assert_int_equal(dc_store_held_count(l->store), 3);
    for (int64_t id = 1; id <= 3; id++) {
        const struct cluster_meta *c = dc_store_cluster_by_id(l->store, id);
        assert_ptr_equal(dc_store_cluster(l->store, c->name), c);
    }
}

static void routes_are_swapped_or_held(void **state)
{
    struct listening *l = *state;
    struct limits none = { .removals = 20 };
    static const char route[] = ROUTE_TO_FRA(7, "PROXYTCP://10.9.0.1:80");
    assert_int_equal(apply(l, 1, ROWS(C("a", 1)), route, none), 0);
    assert_int_equal(l->routes, 1);
    struct route_pick pick;
    const struct cluster_meta *a = dc_store_cluster(l->store, "a");
    route_table_pick(dc_store_routes(l->store), a, "jq", "fra", &pick);
    assert_int_equal(pick.kind, ROUTE_CHOSEN);
    assert_int_equal(pick.route_id, 7);
    assert_non_null(pick.route);
    route_table_pick(dc_store_routes(l->store), a, "jq", "oy", &pick);
    assert_int_equal(pick.kind, ROUTE_DIRECT);
    assert_null(pick.route);
    assert_int_equal(apply(l, 2, ROWS(C("a", 1)), "", none), 0); /* limit of downgrades is 0 */
    assert_int_equal(l->routes, 1);
    assert_int_equal(dc_store_held_count(l->store), 1);
    route_table_pick(dc_store_routes(l->store), a, "jq", "fra", &pick);
    assert_int_equal(pick.kind, ROUTE_CHOSEN);
    struct dc_meta *snapshot = dc_store_snapshot(l->store);
    assert_int_equal(snapshot->routes.count, 1);
    assert_string_equal(snapshot->routes.items[0].route_info, "PROXYTCP://10.9.0.1:80");
    dc_meta_free(snapshot);
}

static void an_unusable_route_is_never_direct(void **state)
{
    (void)state;
    struct dc_meta *meta = document_of(1, ROWS(C("a", 1)), ROUTE_TO_FRA(7, "garbage"));
    struct route_table *table = route_table_new(meta->routes.items, meta->routes.count);
    struct route_pick pick;
    route_table_pick(table, meta->clusters.items[0], "jq", "fra", &pick);
    assert_int_equal(pick.kind, ROUTE_UNUSABLE);
    assert_int_equal(pick.route_id, 7);
    assert_null(pick.route);
    route_table_free(table);
    dc_meta_free(meta);
    route_table_free(NULL);
}

/* Found by the soak: a push that came before the first document was corrected as if there were no routes, that is direct. */
static void routes_are_unknown_until_the_first_document(void **state)
{
    struct listening *l = *state;
    struct cluster_row row = { .name = "a", .db_id = 1, .version = 5 };
    struct xp_err err = { 0 };
    struct route_pick pick;
    assert_int_equal(dc_store_put(l->store, cluster_of(&row), 600, &err), 0);
    struct cluster_meta *a = dc_store_cluster(l->store, "a");
    route_table_pick(dc_store_routes(l->store), a, "jq", "fra", &pick);
    assert_int_equal(pick.kind, ROUTE_UNUSABLE);
    struct cluster_row rows[] = { row, { 0 } };
    assert_int_equal(apply(l, 6, rows, "", (struct limits){ .removals = 20 }), 0);
    assert_int_equal(l->routes, 1); /* told, although there is none before and after */
    route_table_pick(dc_store_routes(l->store), a, "jq", "fra", &pick);
    assert_int_equal(pick.kind, ROUTE_DIRECT);
}

static void an_id_used_by_two_routes_hides_neither(void **state)
{
    (void)state;
    struct dc_meta *meta =
        document_of(1, ROWS(C("a", 1)),
                    ROUTE_TO_FRA(7, "garbage") "," ROUTE_TO_FRA(7, "PROXYTCP://10.9.0.1:80"));
    struct route_table *table = route_table_new(meta->routes.items, meta->routes.count);
    struct route_pick pick;
    route_table_pick(table, meta->clusters.items[0], "jq", "fra", &pick);
    assert_int_equal(pick.kind, ROUTE_CHOSEN);
    assert_non_null(pick.route);
    route_table_free(table);
    dc_meta_free(meta);
}

/* ---- keeper containers and sentinel groups ---- */

static int apply_hosts(struct listening *l, int64_t version, const char *hosts)
{
    AUTO_FREE char *text =
        xasprintf("{\"id\":\"jq\",\"version\":%lld,\"clusters\":{},\"routes\":[],%s}",
                  (long long)version, hosts);
    struct dc_meta *before = dc_store_snapshot(l->store);
    struct dc_meta *after = NULL;
    assert_int_equal(dc_meta_parse(text, strlen(text), &after, NULL), 0);
    struct dc_diff diff;
    struct brake_verdict verdict = { 0 };
    struct xp_err err = { 0 };
    dc_diff_make(before, after, "jq", &diff);
    int rc = dc_store_apply(l->store, dc_store_seq(l->store), after, &diff, &verdict, 500, &err);
    dc_diff_done(&diff);
    dc_meta_free(before);
    dc_meta_free(after);
    return rc;
}

static void assert_container(const struct listening *l, int64_t id, const char *wanted)
{
    struct addr addr;
    bool is_there = dc_hosts_container(dc_store_hosts(l->store), id, &addr);
    assert_string_equal(is_there ? ADDR_TEXT(&addr) : "", wanted);
}

static void hosts_are_those_of_the_last_document(void **state)
{
    struct listening *l = *state;
    struct addr addr;
    assert_container(l, 1, "");
    assert_null(dc_hosts_sentinels(dc_store_hosts(l->store), 3));
    const char *two = "\"keeperContainers\":[{\"id\":2,\"ip\":\"10.0.0.2\",\"port\":8081},"
                      "{\"id\":1,\"ip\":\"10.0.0.2\",\"port\":8080}],"
                      "\"sentinels\":{\"3\":{\"id\":3,\"address\":\"10.0.0.9:5000\"}}";
    assert_int_equal(apply_hosts(l, 1, two), 0);
    assert_container(l, 1, "10.0.0.2:8080");
    assert_container(l, 2, "10.0.0.2:8081");
    assert_true(dc_hosts_container_at(dc_store_hosts(l->store), "10.0.0.2", &addr));
    assert_int_equal(addr.port, 8080); /* the lowest id */
    assert_false(dc_hosts_container_at(dc_store_hosts(l->store), "10.0.0.3", &addr));
    assert_string_equal(dc_hosts_sentinels(dc_store_hosts(l->store), 3), "10.0.0.9:5000");
    struct dc_meta *copy = dc_store_snapshot(l->store); /* what a restart reads from the disk */
    assert_int_equal(copy->containers.count, 2);
    assert_int_equal(copy->containers.items[0].id, 1);
    assert_int_equal(copy->sentinels.count, 1);
    assert_string_equal(copy->sentinels.items[0].address, "10.0.0.9:5000");
    dc_meta_free(copy);
    assert_int_equal(apply_hosts(l, 2, "\"keeperContainers\":[],\"sentinels\":{}"), 0);
    assert_container(l, 1, "");
    assert_null(dc_hosts_sentinels(dc_store_hosts(l->store), 3));
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_store, close_store)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(a_document_comes_in),
        T(a_push_in_between_spoils_a_document),
        T(pushes_of_one_cluster),
        T(a_late_push_of_a_deleted_namesake),
        T(a_late_push_of_a_change_that_was_undone),
        T(a_late_push_after_a_document_that_is_held),
        T(a_push_that_its_deletion_overtook),
        T(a_deletion_that_the_next_cluster_of_that_name_overtook),
        T(a_push_of_what_a_newer_document_does_not_have),
        T(after_an_accepted_older_document_deletions_are_forgotten),
        T(what_a_document_confirms),
        T(exchanged_names),
        T(a_held_cluster_keeps_its_name),
        T(a_chain_of_names_waits_as_a_whole),
        T(routes_are_swapped_or_held),
        T(routes_are_unknown_until_the_first_document),
        T(an_unusable_route_is_never_direct),
        T(routes_are_swapped_or_held),
        T(an_id_used_by_two_routes_hides_neither),
        T(hosts_are_those_of_the_last_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
