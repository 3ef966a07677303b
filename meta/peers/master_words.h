/* master_words.h - the words of conversations about masters of bi-direction shards (dc_links.h; metaserver.md 6.4.1, 6.4.2).
 *
 * Batches POST /api/meta/v2/peermasters and /peerchanges between C metaservers, GET getpeermaster and PUT upstreampeerchange
 * towards Java ones. The number of an answer is the gid, which fits into an int. A notice carries no master: who hears it asks,
 * so that the answer comes from the owner. */
#ifndef META_PEERS_MASTER_WORDS_H
#define META_PEERS_MASTER_WORDS_H

#include "meta/links/dc_words.h"

extern const struct dc_words master_words;

#endif
