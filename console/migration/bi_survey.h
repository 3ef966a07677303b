/* bi_survey.h - asks the metaservers of all DCs of bi-direction clusters how their peers are (v2/peers), all at once; bi_links_decide weighs it.
 * Changes nothing. At most BI_QUESTIONS_MAX questions a survey: shards beyond are not in it, clusters beyond are null. It ends after 'timeout_ms'. Owner: loop. */
#ifndef CONSOLE_MIGRATION_BI_SURVEY_H
#define CONSOLE_MIGRATION_BI_SURVEY_H

#include "console/migration/bi_exclusions.h"
#include "shared/net/loop.h"

#define BI_QUESTIONS_MAX 1024

struct bi_asker;
struct bi_asker_settings {
    const char *metaservers;      /* JSON, as of the notifier */
    const struct dc_alias *alias; /* borrowed until the call returns; may be NULL */
    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* of a whole survey */
};
struct bi_asker *bi_asker_new(struct loop *);
int bi_asker_configure(struct bi_asker *, const struct bi_asker_settings *,
                       struct xp_err *) XP_MUST_CHECK;
/* Waits for what is under way; surveys that are not over are not answered any more. NULL is fine. */
void bi_asker_free(struct bi_asker *);

/* 'links' has one element for each cluster of the exclusions, in their order: borrowed. Once, on the loop, perhaps inside. */
typedef void bi_surveyed_fn(json_t *links, void *arg);
/* Borrows the exclusions until the answer. */
void bi_survey(struct bi_asker *, const struct bi_exclusions *, bi_surveyed_fn *, void *arg);

#endif
