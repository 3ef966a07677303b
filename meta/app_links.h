/* app_links.h - the part of app.c that wires the conversations with the metaservers of other DCs, about masters and upstreams,
 * to the duties. Thread: as app.c. */
#ifndef META_APP_LINKS_H
#define META_APP_LINKS_H

#include "meta/app.h"

void app_links_make(struct app *);
void app_links_settings(struct app *); /* after a reload */
void app_links_free(struct app *);     /* after peer_pool and the shards are freed */

#endif
