/* fake_dc_links.h - the twin of dc_links.h for simulations of one shard: nobody is called, everything is counted. What the other DCs
 * answer, a test tells the duty by itself (shard_duty_peer_told, tree_duty_upstream_told). Thread: one. */
#ifndef TESTS_SIM_FAKE_DC_LINKS_H
#define TESTS_SIM_FAKE_DC_LINKS_H

#include "meta/links/dc_links.h"

struct dc_links *fake_dc_links_new(void); /* free with dc_links_free */
/* How often that DC was asked, or told, since the start. */
int fake_dc_links_asked(const struct dc_links *, const char *dc);
int fake_dc_links_told(const struct dc_links *, const char *dc);
/* The last address it was told; none: none. */
struct addr fake_dc_links_told_addr(const struct dc_links *, const char *dc);

#endif
