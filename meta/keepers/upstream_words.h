/* upstream_words.h - the words of conversations about what the shards of backup DCs pull from (dc_links.h; metaserver.md 6.3.2 step 4,
 * 6.3.4; endpoints 1 and 9).
 *
 * Batches POST /api/meta/v2/upstreams and /upstreamchanges between C metaservers, GET getactivekeeper and PUT
 * upstreamchange/{ip}/{port}?dcName= towards Java ones. The number of an answer is the offset, -1 unknown. A told change is a
 * reason to ask, never taken as the truth by itself, except from a Java metaserver (endpoint 9 carries the address; "none" cannot
 * be told to it). Answers with addresses that no instance can have are refused (upstream_row.h). */
#ifndef META_KEEPERS_UPSTREAM_WORDS_H
#define META_KEEPERS_UPSTREAM_WORDS_H

#include "meta/links/dc_words.h"

extern const struct dc_words upstream_words;

#endif
