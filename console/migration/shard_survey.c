/* shard_survey.c - see shard_survey.h. */
#include "console/migration/shard_survey.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

int shard_survey_add(struct shard_survey *s, const char *dc, bool is_source, bool is_dest,
                     struct xp_err *err)
{
    if (s->count == MIGRATION_DCS_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "more than %d DCs", MIGRATION_DCS_MAX);
    }
    s->dcs[s->count++] = (struct survey_dc){
        .dc = xstrdup(dc), .is_source = is_source, .is_dest = is_dest, .took_us = -1
    };
    return 0;
}

void shard_survey_free(struct shard_survey *s)
{
    for (size_t i = 0; s && i < s->count; i++) {
        free(s->dcs[i].dc);
        free(s->dcs[i].error);
        if (s->dcs[i].check) {
            switch_check_done(s->dcs[i].check);
            free(s->dcs[i].check);
        }
    }
    free(s);
}

const struct survey_dc *shard_survey_dest(const struct shard_survey *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->dcs[i].is_dest) {
            return &s->dcs[i];
        }
    }
    return NULL;
}

const struct survey_dc *shard_survey_source(const struct shard_survey *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->dcs[i].is_source) {
            return &s->dcs[i];
        }
    }
    return NULL;
}

bool shard_survey_is_disaster(const struct shard_survey *s, enum migration_mode mode)
{
    const struct survey_dc *source = shard_survey_source(s);
    return mode == MODE_DISASTER || (mode == MODE_AUTO && source && !source->check);
}

void shard_survey_judge(const struct shard_survey *s, const struct judge_facts *limits,
                        struct judge_verdict *ret_verdict)
{
    struct judge_dc dcs[MIGRATION_DCS_MAX] = { 0 };
    for (size_t i = 0; i < s->count; i++) {
        const struct survey_dc *dc = &s->dcs[i];
        dcs[i] = (struct judge_dc){ .dc = dc->dc,
                                    .is_source = dc->is_source,
                                    .is_dest = dc->is_dest,
                                    .was_asked = true,
                                    .check = dc->check,
                                    .error = dc->error };
    }
    struct judge_facts facts = *limits;
    facts.dcs = dcs;
    facts.count = s->count;
    switch_judge(&facts, ret_verdict);
}
