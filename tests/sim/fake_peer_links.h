/* fake_peer_links.h - the twin of peer_links.h for simulations: nobody is called, everything is counted.
 *
 * Defines the functions of peer_links.c (not its words). What the other DCs answer, a test tells the duty
 * by itself (shard_duty_peer_told). Thread: one. */
#ifndef TESTS_SIM_FAKE_PEER_LINKS_H
#define TESTS_SIM_FAKE_PEER_LINKS_H

#include "meta/peers/peer_links.h"

struct peer_links *fake_peer_links_new(void); /* free with peer_links_free */
/* How often that DC was asked for a master, or told of ours, since the start. */
int fake_peer_links_asked(const struct peer_links *, const char *dc);
int fake_peer_links_told(const struct peer_links *, const char *dc);

#endif
