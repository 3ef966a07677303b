/* bi_tell.h - tells the routing platform which DCs of bi-direction clusters are excluded, one cluster after the other, and looks at the links of those that
 * stay: meanwhile (the way it was before) and again when all are told. Between bi_exclusions_begin and _end. Owner: loop. */
#ifndef CONSOLE_MIGRATION_BI_TELL_H
#define CONSOLE_MIGRATION_BI_TELL_H

#include "console/migration/bi_survey.h"
#include "console/migration/outer_client.h"

typedef void bi_tell_done_fn(void *arg); /* once, on the loop, perhaps inside */
/* Fills 'is_told' and 'links' of each: {"cluster","before":{"links","warnings"},"after":{...}}, null where nobody was asked (bi_links.h). A cluster without shards, or 'asker' NULL:
 * no 'links'. Borrows all until the answer; when the daemon ends, there is none. */
void bi_tell(struct outer_client *, struct bi_asker *asker, struct bi_exclusions *,
             bi_tell_done_fn *, void *arg);

#endif
