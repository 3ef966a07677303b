/* switch_judge.h - may this shard be switched? Weighs what the metaservers of all its DCs saw (dr-switchover.md 9.2 (6)): the check step of a
 * migration, its dry run, and the readiness verdict. A pure decision; the rules are in switch_judge.c. A source of which nobody answers never blocks:
 * whether it can be fenced is for the fence to find out, and there the mode decides. Thread: any. */
#ifndef CONSOLE_MIGRATION_SWITCH_JUDGE_H
#define CONSOLE_MIGRATION_SWITCH_JUDGE_H

#include "shared/base/str.h"
#include "shared/switch/switch_words.h"

struct judge_dc {
    const char *dc;
    bool is_source;
    bool is_dest;
    bool was_asked;
    const struct switch_check *check; /* NULL: no answer, 'error' says why */
    const char *error;
};
struct judge_facts {
    const struct judge_dc *dcs;
    size_t count;
    /* disaster or auto: what concerns the source, or the way from it, only warns */
    bool is_disaster;
    int64_t max_lag_bytes; /* 0: any */
    int64_t drain_ms;
    int64_t bytes_per_s; /* at which a lag drains, as measured; 0 unknown */
};
#define JUDGE_FINDINGS_MAX 64
struct judge_finding {
    bool is_error;    /* else a warning */
    const char *rule; /* "J10"... */
    char text[240];
};
struct judge_verdict {
    bool may;        /* no error */
    bool is_not_yet; /* may not, and all that is in the way may pass by itself within seconds */
    struct judge_finding findings[JUDGE_FINDINGS_MAX];
    size_t count;
    /* predictions */
    struct addr candidate;
    int64_t lag_bytes; /* -1 unknown */
    int64_t drain_ms;  /* -1 unknown */
    int commands;      /* round trips inside the outage */
};
void switch_judge(const struct judge_facts *, struct judge_verdict *ret_verdict);
void judge_verdict_print(const struct judge_verdict *,
                         struct str *out); /* lines for the log of the CHECK step */

#endif
