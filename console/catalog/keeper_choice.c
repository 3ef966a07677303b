/* keeper_choice.c - see keeper_choice.h. Each step strikes candidates out; what is left at the end can be used. */
#include "console/catalog/keeper_choice.h"

#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/banned.h"

static const char *const medium_names[] = { "BM", "TFS", "ANY" };

bool keeper_medium_from_text(const char *text, enum keeper_medium *ret_medium)
{
    for (size_t i = 0; i < ARRAY_LEN(medium_names); i++) {
        if (text_eq_nocase(text, medium_names[i])) {
            *ret_medium = (enum keeper_medium)i;
            return true;
        }
    }
    return false;
}

enum keeper_medium keeper_medium_of(const char *disk_type)
{
    return text_eq_nocase(disk_type, "TFS") ? KEEPER_MEDIUM_TFS : KEEPER_MEDIUM_BM;
}

const char *keeper_verdict_text(enum keeper_verdict verdict)
{
    static const char *const texts[] = {
#define X(id, text) [id] = (text),
        KEEPER_VERDICTS(X)
#undef X
    };
    return texts[verdict];
}

/* ---- the rules, one question each ---- */

typedef bool question_fn(const struct keeper_facts *, const struct keeper_candidate *);

static bool is_active(const struct keeper_facts *facts, const struct keeper_candidate *c)
{
    (void)facts;
    return c->is_active;
}

static bool is_of_org(const struct keeper_facts *facts, const struct keeper_candidate *c)
{
    return c->org_id == facts->org_id;
}

static bool is_of_default_org(const struct keeper_facts *facts, const struct keeper_candidate *c)
{
    (void)facts;
    return c->org_id == 0;
}

static bool is_not_unhealthy(const struct keeper_facts *facts, const struct keeper_candidate *c)
{
    (void)facts;
    return !c->is_unhealthy;
}

static bool has_tag(const struct keeper_facts *facts, const struct keeper_candidate *c)
{
    return text_eq(c->tag, facts->tag);
}

static bool has_medium(const struct keeper_facts *facts, const struct keeper_candidate *c)
{
    return facts->medium == KEEPER_MEDIUM_ANY || keeper_medium_of(c->disk_type) == facts->medium;
}

static bool has_az(const struct keeper_facts *facts, const struct keeper_candidate *c)
{
    (void)facts;
    return c->az_id != 0;
}

/* ---- striking out ---- */

static bool is_any_left(const struct keeper_facts *facts, const struct keeper_choice *choice,
                        question_fn *fits)
{
    for (size_t i = 0; i < facts->count; i++) {
        if (choice->verdicts[i] == KEEPER_USABLE && fits(facts, &facts->items[i])) {
            return true;
        }
    }
    return false;
}

static void strike(const struct keeper_facts *facts, struct keeper_choice *choice,
                   question_fn *fits, enum keeper_verdict verdict)
{
    for (size_t i = 0; i < facts->count; i++) {
        if (choice->verdicts[i] == KEEPER_USABLE && !fits(facts, &facts->items[i])) {
            choice->verdicts[i] = verdict;
        }
    }
}

static bool is_az_taken(const struct keeper_facts *facts, const struct keeper_choice *choice,
                        size_t at)
{
    for (size_t i = 0; i < at; i++) {
        size_t before = choice->order[i];
        if (choice->verdicts[before] == KEEPER_USABLE &&
            facts->items[before].az_id == facts->items[choice->order[at]].az_id) {
            return true;
        }
    }
    return false;
}

static void strike_by_az(const struct keeper_facts *facts, struct keeper_choice *choice)
{
    if (facts->active_az_count <= 1 || !is_any_left(facts, choice, has_az)) {
        return;
    }
    strike(facts, choice, has_az, KEEPER_NO_AZ);
    for (size_t i = 0; i < facts->count; i++) {
        enum keeper_verdict *verdict = &choice->verdicts[choice->order[i]];
        if (*verdict == KEEPER_USABLE && is_az_taken(facts, choice, i)) {
            *verdict = KEEPER_SAME_AZ;
        }
    }
}

/* ---- the order ---- */

struct place_in_order {
    int64_t keeper_count;
    int64_t id;
    size_t index;
};

static int by_load(const void *a, const void *b)
{
    const struct place_in_order *x = a;
    const struct place_in_order *y = b;
    int by_count = (x->keeper_count > y->keeper_count) - (x->keeper_count < y->keeper_count);
    return by_count ? by_count : (x->id > y->id) - (x->id < y->id);
}

static size_t *order_by_load(const struct keeper_facts *facts)
{
    AUTO_FREE struct place_in_order *places = xcalloc(facts->count + 1, sizeof(*places));
    for (size_t i = 0; i < facts->count; i++) {
        places[i] = (struct place_in_order){ facts->items[i].keeper_count, facts->items[i].id, i };
    }
    qsort(places, facts->count, sizeof(*places), by_load);
    size_t *order = xcalloc(facts->count + 1, sizeof(*order));
    for (size_t i = 0; i < facts->count; i++) {
        order[i] = places[i].index;
    }
    return order;
}

/* ---- the whole ---- */

void keeper_choose(const struct keeper_facts *facts, struct keeper_choice *ret_choice)
{
    struct keeper_choice choice = {
        .order = order_by_load(facts),
        .verdicts = xcalloc(facts->count + 1, sizeof(*choice.verdicts)),
    };
    strike(facts, &choice, is_active, KEEPER_INACTIVE);
    bool has_own = is_any_left(facts, &choice, is_of_org);
    strike(facts, &choice, has_own ? is_of_org : is_of_default_org, KEEPER_OTHER_ORG);
    strike(facts, &choice, is_not_unhealthy, KEEPER_UNHEALTHY);
    if (is_any_left(facts, &choice, has_tag)) {
        strike(facts, &choice, has_tag, KEEPER_OTHER_TAG);
    }
    strike(facts, &choice, has_medium, KEEPER_OTHER_MEDIUM);
    strike_by_az(facts, &choice);
    for (size_t i = 0; i < facts->count; i++) {
        if (choice.verdicts[choice.order[i]] != KEEPER_USABLE) {
            continue;
        }
        if (choice.usable_count < KEEPERS_PER_SHARD) {
            choice.taken[choice.usable_count] = choice.order[i];
        }
        choice.usable_count++;
    }
    *ret_choice = choice;
}

void keeper_choice_done(struct keeper_choice *choice)
{
    free(choice->order);
    free(choice->verdicts);
    *choice = (struct keeper_choice){ 0 };
}

int keeper_free_port(int from, const int *used, size_t count)
{
    int port = from;
    for (size_t i = 0; i < count && used[i] <= port; i++) {
        port += used[i] == port;
    }
    return port <= KEEPER_PORT_LAST ? port : 0;
}
