/* peer_decide.c - see peer_decide.h.
 *
 * Order of work, as metaserver.md 8.7 wants it: changed, added, superfluous. Rules (stable, with gaps):
 *   P10 changed, link not up         set          P40 superfluous, evidence complete   remove + rewrite
 *   P12 changed, only the server     set+rewrite  P50 right but waiting after a        kick
 *       list, link stays                              restart of Redis
 *   P14 changed, link up             set, one a run
 *   P20 missing                      set
 */
#include "meta/peers/peer_decide.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define KICK_UPTIME_S 15 /* Redis waits 11 s after a restart before it connects to its peers */

const char *peer_verdict_text(enum peer_verdict verdict)
{
    static const char *const texts[PEER_VERDICTS] = {
        [PEER_OK] = "OK",
        [PEER_CHANGED] = "CHANGED",
        [PEER_MISSING] = "MISSING",
        [PEER_SUPERFLUOUS] = "SUPERFLUOUS",
        [PEER_BAD_ROUTE] = "BAD_ROUTE",
        [PEER_OLD_VERSION] = "OLD_VERSION",
        [PEER_BAD_GID] = "BAD_GID",
        [PEER_BAD_TARGET] = "BAD_TARGET",
        [PEER_UNKNOWN_PEER_MASTER] = "UNKNOWN_PEER_MASTER",
        [PEER_UNREADABLE] = "UNREADABLE",
    };
    return texts[verdict];
}

static struct peerof_target target_of(const struct wanted_peer *w)
{
    return (struct peerof_target){
        .gid = w->gid,
        .addr = w->addr,
        .route = w->choice == ROUTE_CHOSEN ? w->route : NULL,
    };
}

static bool is_claimed_twice(const struct peer_facts *f, size_t index)
{
    for (size_t i = 0; i < f->wanted_count; i++) {
        if (i != index && f->wanted[i].is_known && f->wanted[i].gid == f->wanted[index].gid) {
            return true;
        }
    }
    return false;
}

static bool is_bad_gid(const struct peer_facts *f, size_t index, char *note, size_t size)
{
    int gid = f->wanted[index].gid;
    if (gid < CRDT_GID_MIN || gid > CRDT_GID_MAX) {
        (void)snprintf(note, size, "gid %d is outside %d..%d", gid, CRDT_GID_MIN, CRDT_GID_MAX);
    } else if (gid == f->info->own_gid) {
        (void)snprintf(note, size, "gid %d is this master's own", gid);
    } else if (is_claimed_twice(f, index)) {
        (void)snprintf(note, size, "gid %d is claimed by two DCs", gid);
    } else {
        return false;
    }
    return true;
}

/* Everything that forbids to touch the peer of this DC; PEER_OK when nothing does. The text of a route is not read again
 * when the peer 'is_in_place': Redis has taken this very route, and reading it costs more than the rest of a poll. */
static enum peer_verdict obstacle(const struct peer_facts *f, size_t index, bool is_in_place,
                                  char *note, size_t size)
{
    const struct wanted_peer *w = &f->wanted[index];
    if (!w->is_known) {
        return PEER_UNKNOWN_PEER_MASTER;
    }
    if (is_bad_gid(f, index, note, size)) {
        return PEER_BAD_GID;
    }
    if (w->is_own_replica) { /* the master would pull its own data back; itself is left to peerof_check */
        (void)snprintf(note, size, "host: %s is a Redis of this shard in this DC",
                       ADDR_TEXT(&w->addr));
        return PEER_BAD_TARGET;
    }
    if (w->choice == ROUTE_UNUSABLE) {
        if (w->route_id) {
            (void)snprintf(note, size, "route %lld is unusable", (long long)w->route_id);
        } else {
            (void)snprintf(note, size, "routes are not known yet");
        }
        return PEER_BAD_ROUTE;
    }
    struct peerof_context context = {
        .own_gid = f->info->own_gid,
        .own_addr = f->own_addr,
        .version = f->version,
    };
    struct peerof_target target = target_of(w);
    target.route = is_in_place ? NULL : target.route;
    struct xp_err err = { 0 };
    int rc = peerof_check(&target, &context, &err);
    if (rc != 0) {
        (void)snprintf(note, size, "%.*s", (int)size - 1, err.msg);
    }
    return rc == 0 ? PEER_OK : rc == XP_UNSUPPORTED ? PEER_OLD_VERSION : PEER_BAD_TARGET;
}

static struct peer_action *add_action(struct peer_plan *plan, const struct peer_action *action)
{
    if (plan->action_count == PEER_ACTIONS_MAX) {
        return NULL;
    }
    plan->actions[plan->action_count] = *action;
    return &plan->actions[plan->action_count++];
}

static void act_changed(struct peer_plan *plan, const struct peer_row *row,
                        const struct peerof_target *target, bool *is_break_used)
{
    struct peer_action action = { .kind = PEER_ACT_SET,
                                  .gid = target->gid,
                                  .wanted_index = row->wanted_index };
    if (!row->actual->is_up) {
        action.rule = "P10";
        action.why = "peer differs and its link is not up";
    } else if (peerof_keeps_link(row->actual, target)) {
        action.rule = "P12";
        action.why = "list of near proxies differs, the link stays";
        action.needs_rewrite = true;
    } else if (*is_break_used) {
        plan->held_back++;
        return;
    } else {
        action.rule = "P14";
        action.why = "peer differs, its link is cut and made anew";
        action.breaks_link = true;
        *is_break_used = true;
    }
    (void)add_action(plan, &action);
}

static bool may_change(const struct peer_facts *f, const struct crdt_peer *actual)
{
    /* While data is taken back after a restart a link that is up carries it; a dead endpoint only blocks. */
    return !f->info->backstreaming || !actual->is_up;
}

/* The row of one wanted DC, without actions. */
static void judge_wanted(const struct peer_facts *f, size_t index, struct peer_row *row)
{
    const struct wanted_peer *w = &f->wanted[index];
    struct peerof_target target = target_of(w);
    *row = (struct peer_row){ .wanted_index = index };
    row->actual = w->is_known ? crdt_info_peer(f->info, w->gid) : NULL;
    bool is_in_place = row->actual && peerof_is_equal(row->actual, &target);
    row->verdict = obstacle(f, index, is_in_place, row->note, sizeof(row->note));
    if (row->verdict != PEER_OK) {
        return;
    }
    if (!row->actual) {
        row->verdict = PEER_MISSING;
    } else if (row->actual->problem[0]) {
        row->verdict = PEER_UNREADABLE;
        (void)snprintf(row->note, sizeof(row->note), "%s", row->actual->problem);
    } else if (!is_in_place) {
        row->verdict = PEER_CHANGED;
    }
    if (row->verdict == PEER_OK && w->is_fallback) {
        (void)snprintf(row->note, sizeof(row->note),
                       "first choice of route is unusable, using route %lld",
                       (long long)w->route_id);
    }
}

static bool is_wanted_gid(const struct peer_facts *f, int gid)
{
    for (size_t i = 0; i < f->wanted_count; i++) {
        if (f->wanted[i].is_known && f->wanted[i].gid == gid) {
            return true;
        }
    }
    return false;
}

static bool is_every_dc_known(const struct peer_facts *f)
{
    for (size_t i = 0; i < f->wanted_count; i++) {
        if (!f->wanted[i].is_known) {
            return false;
        }
    }
    return true;
}

/* Counts one more verdict against a gid; returns the evidence gathered so far. */
static int count_removal(const struct peer_facts *f, struct peer_plan *plan, int gid)
{
    struct removal_watch watch = { .gid = gid, .last_at = MONO_NEVER };
    for (size_t i = 0; i < PEER_DCS_MAX; i++) {
        if (f->removal[i].gid == gid) {
            watch = f->removal[i];
        }
    }
    if (mono_age(f->now, watch.last_at) >= f->removal_gap_ms) {
        watch.verdicts++;
        watch.last_at = f->now;
    }
    for (size_t i = 0; i < PEER_DCS_MAX; i++) {
        if (plan->removal[i].gid == 0) {
            plan->removal[i] = watch;
            return watch.verdicts;
        }
    }
    return 0; /* more strangers than we track: never enough evidence */
}

/* A peer that is nobody's: shown always, removed only when every safeguard holds. */
static void judge_stranger(const struct peer_facts *f, const struct crdt_peer *actual,
                           struct peer_plan *plan)
{
    struct peer_row *row = &plan->rows[plan->row_count++];
    *row = (struct peer_row){ .verdict = PEER_SUPERFLUOUS,
                              .wanted_index = SIZE_MAX,
                              .actual = actual };
    const char *hold = NULL;
    if (actual->problem[0]) {
        row->verdict = PEER_UNREADABLE;
        hold = actual->problem;
    } else if (!f->is_meta_fresh) {
        hold = "kept: the DC document is not fresh";
    } else if (!is_every_dc_known(f)) {
        hold = "kept: the master of another DC is not known";
    } else if (f->info->backstreaming) {
        hold = "kept: data is being taken back";
    }
    if (hold) {
        (void)snprintf(row->note, sizeof(row->note), "%s", hold);
        return;
    }
    int verdicts = count_removal(f, plan, actual->gid);
    struct xp_err err = { 0 };
    if (!f->may_remove) {
        (void)snprintf(row->note, sizeof(row->note), "kept: meta.cluster.peermaster.delete is off");
    } else if (verdicts < f->removal_verdicts) {
        (void)snprintf(row->note, sizeof(row->note), "kept: verdict %d of %d", verdicts,
                       f->removal_verdicts);
    } else if (peerof_check_removal(actual->gid, f->info->own_gid, &err) != 0) {
        (void)snprintf(row->note, sizeof(row->note), "kept: %.100s", err.msg);
    } else {
        (void)add_action(plan, &(struct peer_action){ .kind = PEER_ACT_REMOVE,
                                                      .rule = "P40",
                                                      .why = "no DC of the cluster has this gid",
                                                      .gid = actual->gid,
                                                      .wanted_index = SIZE_MAX,
                                                      .needs_rewrite = true,
                                                      .rewrite_replicas = true });
    }
}

static void plan_changed(const struct peer_facts *f, struct peer_plan *plan)
{
    bool is_break_used = false;
    for (size_t i = 0; i < f->wanted_count; i++) {
        struct peer_row *row = &plan->rows[i];
        if (row->verdict != PEER_CHANGED) {
            continue;
        }
        if (!may_change(f, row->actual)) {
            (void)snprintf(row->note, sizeof(row->note),
                           "kept: data is being taken back over this link");
            continue;
        }
        struct peerof_target target = target_of(&f->wanted[i]);
        act_changed(plan, row, &target, &is_break_used);
    }
}

static void plan_missing(const struct peer_facts *f, struct peer_plan *plan)
{
    for (size_t i = 0; i < f->wanted_count; i++) {
        if (plan->rows[i].verdict == PEER_MISSING) {
            (void)add_action(plan, &(struct peer_action){ .kind = PEER_ACT_SET,
                                                          .rule = "P20",
                                                          .why = "peer is missing",
                                                          .gid = f->wanted[i].gid,
                                                          .wanted_index = i });
        }
    }
}

static void plan_strangers(const struct peer_facts *f, struct peer_plan *plan)
{
    for (size_t i = 0; i < f->info->peer_count; i++) {
        const struct crdt_peer *actual = &f->info->peers[i];
        if (!is_wanted_gid(f, actual->gid)) {
            judge_stranger(f, actual, plan);
        }
    }
}

static void plan_kicks(const struct peer_facts *f, struct peer_plan *plan)
{
    if (f->uptime_s < 0 || f->uptime_s >= KICK_UPTIME_S) {
        return;
    }
    char note[sizeof(plan->rows[0].note)];
    for (size_t i = 0; i < f->wanted_count; i++) {
        const struct peer_row *row = &plan->rows[i];
        bool is_waiting = row->verdict == PEER_OK && row->actual && !row->actual->is_up &&
                          !row->actual->is_syncing;
        if (is_waiting && !(f->kicked_gids & (1U << f->wanted[i].gid)) &&
            obstacle(f, i, false, note, sizeof(note)) == PEER_OK) {
            (void)add_action(plan, &(struct peer_action){
                                       .kind = PEER_ACT_KICK,
                                       .rule = "P50",
                                       .why = "Redis was just started and waits before it connects",
                                       .gid = f->wanted[i].gid,
                                       .wanted_index = i });
        }
    }
}

void peer_decide(const struct peer_facts *facts, struct peer_plan *plan)
{
    plan->row_count = 0;
    plan->action_count = 0;
    plan->held_back = 0;
    memset(plan->removal, 0, sizeof(plan->removal));
    xp_check(facts->wanted_count <= PEER_DCS_MAX);
    for (size_t i = 0; i < facts->wanted_count; i++) {
        judge_wanted(facts, i, &plan->rows[plan->row_count++]);
    }
    plan_changed(facts, plan);
    plan_missing(facts, plan);
    plan_strangers(facts, plan);
    plan_kicks(facts, plan);
}

static const char *action_text(enum peer_action_kind kind)
{
    static const char *const texts[] = {
        [PEER_ACT_SET] = "set", [PEER_ACT_REMOVE] = "remove", [PEER_ACT_KICK] = "kick"
    };
    return texts[kind];
}

static void print_words(const struct peer_facts *f, const struct peer_action *a, struct str *out)
{
    struct peerof_words words;
    if (a->kind == PEER_ACT_REMOVE) {
        peerof_build_removal(a->gid, &words);
    } else {
        struct peerof_target target = target_of(&f->wanted[a->wanted_index]);
        peerof_build(&target, &words);
    }
    AUTO_FREE char *text = peerof_words_text(&words);
    str_puts(out, text);
    peerof_words_done(&words);
}

void peer_plan_print(const struct peer_facts *f, const struct peer_plan *plan, struct str *out)
{
    for (size_t i = 0; i < plan->row_count; i++) {
        const struct peer_row *row = &plan->rows[i];
        const char *dc = row->wanted_index == SIZE_MAX ? "-" : f->wanted[row->wanted_index].dc;
        int gid = row->actual                     ? row->actual->gid
                  : row->wanted_index == SIZE_MAX ? 0
                                                  : f->wanted[row->wanted_index].gid;
        str_printf(out, "peer dc=%s gid=%d %s%s%s\n", dc, gid, peer_verdict_text(row->verdict),
                   row->note[0] ? ": " : "", row->note);
    }
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct peer_action *a = &plan->actions[i];
        str_printf(out, "%s %s%s%s: ", a->rule, action_text(a->kind),
                   a->breaks_link ? " (cuts the link)" : "",
                   a->needs_rewrite ? " (then CONFIG REWRITE)" : "");
        print_words(f, a, out);
        str_printf(out, " # %s\n", a->why);
    }
    if (plan->held_back > 0) {
        str_printf(out, "held back for the next run: %d\n", plan->held_back);
    }
}
