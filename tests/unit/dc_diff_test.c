/* dc_diff_test.c - what a new document would change, and which of it is held back. */
#include <stdio.h>

#include "meta/dcmeta/dc_diff.h"
#include "tests/unit/dc_fixture.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

static const struct cluster_row nobody[] = { { 0 } };

static struct dc_diff diff_of(const struct cluster_row *before, const struct cluster_row *after)
{
    struct dc_meta *a = document_of(1, before, "");
    struct dc_meta *b = document_of(2, after, "");
    struct dc_diff diff;
    dc_diff_make(a, b, "jq", &diff);
    dc_meta_free(a);
    dc_meta_free(b);
    return diff;
}

static const struct dc_change *change_of(const struct dc_diff *diff, enum dc_change_kind kind,
                                         int64_t db_id)
{
    for (size_t i = 0; i < diff->count; i++) {
        const struct dc_change *c = &diff->changes[i];
        if (c->kind == kind && (c->after ? c->after : c->before)->db_id == db_id) {
            return c;
        }
    }
    return NULL;
}

static void equal_documents_change_nothing(void **state)
{
    (void)state;
    struct dc_diff diff = diff_of(ROWS(C("a", 1, "1,2", "jq,FRA"), C("b", 2)),
                                  ROWS(C("b", 2, .version = 9), C("a", 1, "2,1", "fra,jq")));
    assert_int_equal(diff.count, 0);
    assert_false(diff.routes_changed);
    dc_diff_done(&diff);
}

static void added_removed_modified_shrunk(void **state)
{
    (void)state;
    struct dc_diff diff =
        diff_of(ROWS(C("a", 1), C("b", 2, "1"), C("c", 3, "1,2"), C("d", 4, NULL, "jq,fra,oy")),
                ROWS(C("n", 9), C("b", 2, "1,2"), C("c", 3, "1,3"), C("d", 4, NULL, "jq,fra")));
    assert_int_equal(diff.added, 1);
    assert_int_equal(diff.removed, 1);
    assert_int_equal(diff.modified, 1);
    assert_int_equal(diff.shrunk, 2);
    assert_non_null(change_of(&diff, DC_ADDED, 9));
    assert_non_null(change_of(&diff, DC_REMOVED, 1));
    assert_false(change_of(&diff, DC_MODIFIED, 2)->shrinks);
    assert_true(change_of(&diff, DC_MODIFIED, 3)->shrinks);
    assert_true(change_of(&diff, DC_MODIFIED, 4)->shrinks);
    dc_diff_done(&diff);
}

static void names_are_compared_by_id(void **state)
{
    (void)state;
    struct dc_diff diff = diff_of(ROWS(C("a", 1), C("b", 2)), ROWS(C("b", 1), C("a", 2)));
    assert_int_equal(diff.modified, 2);
    assert_int_equal(diff.count, 2);
    dc_diff_done(&diff);
    diff = diff_of(ROWS(C("a", 1)), ROWS(C("a", 7))); /* made anew under its name */
    assert_int_equal(diff.removed, 1);
    assert_int_equal(diff.added, 1);
    dc_diff_done(&diff);
}

static void a_cluster_with_a_problem_stays_as_it_was(void **state)
{
    (void)state;
    struct dc_diff diff =
        diff_of(ROWS(C("a", 1), C("b", 2)), ROWS(C("a", 1, .type = "NEW_KIND"), C("b", 2)));
    assert_int_equal(diff.count, 0);
    assert_int_equal(diff.unusable, 1);
    dc_diff_done(&diff);
    diff = diff_of(ROWS(C("a", 1)), ROWS(C("renamed", 1, .type = "NEW_KIND")));
    assert_int_equal(diff.count, 0); /* found by its id */
    dc_diff_done(&diff);
    diff = diff_of(ROWS(C("a", 1)), ROWS(C("a", 0, .type = "NEW_KIND")));
    assert_int_equal(diff.count, 0); /* found by its name */
    dc_diff_done(&diff);
}

/* Found by the hostile documents: "a" sorted before "demo", took its id, and was served in its place. */
static void an_id_claimed_twice_is_taken_by_none(void **state)
{
    (void)state;
    struct dc_diff diff =
        diff_of(ROWS(C("demo", 1), C("x", 2)), ROWS(C("a", 1), C("demo", 1), C("x", 2)));
    assert_int_equal(diff.unusable, 2);
    assert_int_equal(diff.count, 0); /* "demo" stays as it was */
    assert_string_equal(diff.problems[0].cluster, "a");
    assert_string_equal(diff.problems[0].text, "dbId: 1 is also that of cluster 'demo'");
    assert_string_equal(diff.problems[1].text, "dbId: 1 is also that of cluster 'a'");
    dc_diff_done(&diff);
    diff = diff_of(nobody, ROWS(C("a", 1), C("b", 1), C("c", 1)));
    assert_int_equal(diff.unusable, 3);
    assert_int_equal(diff.count, 0);
    dc_diff_done(&diff);
}

static struct dc_diff routes_diff(const char *before, const char *after)
{
    struct dc_meta *a = document_of(1, ROWS(C("a", 1), C("b", 2, NULL, "jq,oy")), before);
    struct dc_meta *b = document_of(2, ROWS(C("a", 1), C("b", 2, NULL, "jq,oy")), after);
    struct dc_diff diff;
    dc_diff_make(a, b, "jq", &diff);
    dc_meta_free(a);
    dc_meta_free(b);
    return diff;
}

static void routes_and_what_they_take_away(void **state)
{
    (void)state;
    static const char one[] = ROUTE_TO_FRA(1, "PROXYTCP://10.9.0.1:80");
    static const char other[] = ROUTE_TO_FRA(1, "PROXYTCP://10.9.0.2:80");
    static const char unusable[] = ROUTE_TO_FRA(1, "PROXYTLS://10.9.0.2:443");
    struct dc_diff diff = routes_diff(one, one);
    assert_false(diff.routes_changed);
    dc_diff_done(&diff);
    diff = routes_diff(one, other);
    assert_true(diff.routes_changed);
    assert_int_equal(diff.downgraded, 0);
    dc_diff_done(&diff);
    diff = routes_diff(one, "");
    assert_int_equal(diff.downgraded, 1); /* only 'a' reaches fra */
    dc_diff_done(&diff);
    diff = routes_diff(one, unusable); /* left alone, not direct */
    assert_int_equal(diff.downgraded, 0);
    dc_diff_done(&diff);
    diff = routes_diff("", one);
    assert_true(diff.routes_changed);
    assert_int_equal(diff.downgraded, 0);
    dc_diff_done(&diff);
}

/* ---- brake ---- */

#define MANY 25

static struct dc_diff lose(size_t lost, size_t added)
{
    static char names[2 * MANY][16];
    struct cluster_row before[MANY + 1] = { 0 };
    struct cluster_row after[2 * MANY + 1] = { 0 };
    size_t n = 0;
    for (size_t i = 0; i < 2 * MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "c%zu", i);
    }
    for (size_t i = 0; i < MANY; i++) {
        before[i] = (struct cluster_row)C(names[i], (int64_t)i + 1);
        if (i >= lost) {
            after[n++] = before[i];
        }
    }
    for (size_t i = 0; i < added; i++) {
        after[n++] = (struct cluster_row)C(names[MANY + i], (int64_t)(MANY + i) + 1);
    }
    return diff_of(before, after);
}

static struct brake_verdict brake(struct dc_diff *diff, bool is_accepted)
{
    struct brake_limits limits = { .removals = 20, .downgrades = 0, .is_accepted = is_accepted };
    struct brake_verdict verdict;
    dc_brake(diff, &limits, &verdict);
    return verdict;
}

static void twenty_may_go_and_twenty_one_may_not(void **state)
{
    (void)state;
    struct dc_diff diff = lose(20, 0);
    assert_int_equal(brake(&diff, false).held, 0);
    dc_diff_done(&diff);
    diff = lose(21, 21);
    struct brake_verdict verdict = brake(&diff, false);
    assert_true(verdict.removals_held);
    assert_int_equal(verdict.held, 21);
    assert_int_equal(diff.added, 21);
    for (size_t i = 0; i < diff.count; i++) { /* additions pass */
        assert_int_equal(diff.changes[i].is_held, diff.changes[i].kind == DC_REMOVED);
    }
    verdict = brake(&diff, true);
    assert_false(verdict.removals_held);
    assert_true(verdict.is_accepted);
    assert_int_equal(verdict.held, 0);
    dc_diff_done(&diff);
}

static void going_direct_is_held(void **state)
{
    (void)state;
    struct dc_diff diff = routes_diff(ROUTE_TO_FRA(1, "PROXYTCP://10.9.0.1:80"), "");
    assert_true(brake(&diff, false).routes_held);
    assert_false(brake(&diff, true).routes_held);
    dc_diff_done(&diff);
}

/* The routes stay, but clusters move to an organization that has none: it was not counted. */
static void going_direct_by_another_organization_is_held(void **state)
{
    (void)state;
    static const char ours[] =
        "{\"id\":1,\"tag\":\"meta\",\"srcDc\":\"jq\",\"dstDc\":\"fra\",\"clusterType\":\"\","
        "\"orgId\":8,\"isPublic\":true,\"routeInfo\":\"PROXYTCP://10.9.0.1:80\"}";
    struct dc_meta *a = document_of(1, ROWS(C("a", 1, .org_id = 8), C("b", 2, .org_id = 8)), ours);
    struct dc_meta *b =
        document_of(2, ROWS(C("a", 1, .org_id = 9), C("b", 2, "6379,6380", .org_id = 8)), ours);
    struct dc_diff diff;
    dc_diff_make(a, b, "jq", &diff);
    assert_false(diff.routes_changed);
    assert_int_equal(diff.downgraded, 1);
    struct brake_verdict verdict = brake(&diff, false);
    assert_true(verdict.routes_held);
    assert_int_equal(verdict.held, 1);
    for (size_t i = 0; i < diff.count; i++) { /* what "b" gains passes */
        assert_int_equal(diff.changes[i].is_held, text_eq(diff.changes[i].after->name, "a"));
    }
    assert_int_equal(brake(&diff, true).held, 0);
    dc_diff_done(&diff);
    dc_meta_free(a);
    dc_meta_free(b);
}

/* A console that lost its data names this DC and nothing else: below the limit, and yet never meant. */
static void a_document_that_empties_the_dc_is_held(void **state)
{
    (void)state;
    struct dc_diff diff = diff_of(ROWS(C("a", 1), C("b", 2)), ROWS({ 0 }));
    assert_int_equal(brake(&diff, false).held, 2);
    assert_int_equal(brake(&diff, true).held, 0);
    dc_diff_done(&diff);
    diff = diff_of(ROWS(C("a", 1)), ROWS({ 0 })); /* the last cluster may be deleted */
    assert_int_equal(brake(&diff, false).held, 0);
    dc_diff_done(&diff);
}

/* A bulk load creates clusters first and their shards later: each is pushed, and no document has it before its first shard. */
static void clusters_without_shards_are_no_loss(void **state)
{
    (void)state;
    struct cluster_row rows[40] = { C("served", 1) };
    char names[ARRAY_LEN(rows)][16];
    for (int i = 1; i < (int)ARRAY_LEN(rows) - 1; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "new-%d", i);
        rows[i] = (struct cluster_row)C(names[i], i + 1, .has_no_shards = true);
    }
    struct dc_diff diff = diff_of(rows, ROWS(C("served", 1)));
    assert_int_equal(diff.count, ARRAY_LEN(rows) - 2);
    assert_int_equal(diff.removed, 0);
    assert_int_equal(brake(&diff, false).held, 0);
    dc_diff_done(&diff);
    diff = diff_of(rows + 1, nobody);
    assert_int_equal(brake(&diff, false).held, 0);
    dc_diff_done(&diff);
    rows[1] = (struct cluster_row)C("served-too", 2);
    diff = diff_of(rows, nobody); /* both that were served go: these two wait, the others do not */
    assert_int_equal(brake(&diff, false).held, 2);
    dc_diff_done(&diff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_documents_change_nothing),
        cmocka_unit_test(added_removed_modified_shrunk),
        cmocka_unit_test(names_are_compared_by_id),
        cmocka_unit_test(a_cluster_with_a_problem_stays_as_it_was),
        cmocka_unit_test(an_id_claimed_twice_is_taken_by_none),
        cmocka_unit_test(routes_and_what_they_take_away),
        cmocka_unit_test(twenty_may_go_and_twenty_one_may_not),
        cmocka_unit_test(going_direct_is_held),
        cmocka_unit_test(going_direct_by_another_organization_is_held),
        cmocka_unit_test(a_document_that_empties_the_dc_is_held),
        cmocka_unit_test(clusters_without_shards_are_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
