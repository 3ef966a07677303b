/* shard_survey.h - what the metaservers of all DCs of a cluster say about one shard, asked at the same time: their answers to
 * changeprimarydc/check. The CHECK of a migration, its plan and the readiness verdict weigh the same survey with the same judge, so that they
 * cannot differ. Asked by migration_survey_start (migration_calls.h). Texts are owned. Thread: any; owner: who has it. */
#ifndef CONSOLE_MIGRATION_SHARD_SURVEY_H
#define CONSOLE_MIGRATION_SHARD_SURVEY_H

#include "console/migration/migration_rows.h"
#include "console/migration/switch_judge.h"

struct survey_dc {
    char *dc; /* stored spelling */
    bool is_source;
    bool is_dest;
    struct switch_check *check; /* NULL: no answer, or none yet; 'error' says why */
    char *error;
    bool is_unreachable; /* of no answer: another try may get one */
    bool is_busy;    /* of those: it says that it could not look now, as behind a step of before */
    int64_t took_us; /* from the question to the answer; -1 none yet */
};
struct shard_survey {
    struct survey_dc dcs[MIGRATION_DCS_MAX];
    size_t count;
};

/* A DC to be asked. XP_TOO_LARGE: over MIGRATION_DCS_MAX. */
int shard_survey_add(struct shard_survey *, const char *dc, bool is_source, bool is_dest,
                     struct xp_err *) XP_MUST_CHECK;
void shard_survey_free(struct shard_survey *);                            /* NULL is fine */
const struct survey_dc *shard_survey_dest(const struct shard_survey *);   /* NULL: none */
const struct survey_dc *shard_survey_source(const struct shard_survey *); /* NULL: none */
/* Asked for without a mode (auto): a source DC that does not answer is the reason for the switch, not an objection to it. */
bool shard_survey_is_disaster(const struct shard_survey *, enum migration_mode mode);
/* 'limits' says everything of the facts but the DCs. */
void shard_survey_judge(const struct shard_survey *, const struct judge_facts *limits,
                        struct judge_verdict *ret_verdict);

#endif
