/* dc_hosts.h - keeper containers and sentinel groups of this DC, as the last document named them.
 *
 * Both come with whole documents only. Plain value inside of dc_store. Owner: loop. */
#ifndef META_DCMETA_DC_HOSTS_H
#define META_DCMETA_DC_HOSTS_H

#include "shared/base/map.h"
#include "shared/model/dc_meta.h"

struct dc_hosts {
    struct map containers; /* id -> struct keeper_container_meta *, owned */
    struct map sentinels;  /* id -> struct sentinel_meta *, owned */
};

void dc_hosts_init(struct dc_hosts *);
void dc_hosts_done(struct dc_hosts *);
/* Copies. True: they are not what they were. */
bool dc_hosts_set(struct dc_hosts *, const struct dc_meta *document);
/* Into a document that has none yet. */
void dc_hosts_copy(const struct dc_hosts *, struct dc_meta *ret_document);
/* False: the document does not name it. */
bool dc_hosts_container(const struct dc_hosts *, int64_t id, struct addr *ret_addr);
/* The one on this host: a keeper runs on its container's host. Of several, that of the lowest id. */
bool dc_hosts_container_at(const struct dc_hosts *, const char *host, struct addr *ret_addr);
/* "ip:port,ip:port"; NULL: not named. Borrowed until the next document. */
const char *dc_hosts_sentinels(const struct dc_hosts *, int64_t id);

#endif
