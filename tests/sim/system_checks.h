/* system_checks.h - the promises of the system, checked after each step and at each command to a Redis. A broken one is
 * told to trace_fail under a short name:
 *
 *   two-owners    no slot is owned by two members of a DC, each under a valid lease
 *   owner         a command is sent by who owns the slot of the cluster under a valid lease, and ZooKeeper says the same
 *   order         a command never arrives after one that another member sent later
 *   leader        only the first in the election queue writes slot records
 *   hold-down     after standing still for over 2 s a metaserver only observes for meta.pause.hold.milli
 *   draining      a metaserver that was told to end commands nothing
 *   migration     no command for a cluster that the sender knows to be under migration (no switch is ordered here: of a real one its
 *                 own steps, and the fence that they ordered, are the exception)
 *   versions      of the document and of each cluster never go back; what was deleted does not come back
 *   brakes        one document never takes away more than meta.removal.limit
 *   harmful       no command that damages a Redis; of a one-way cluster none to a Redis of the primary DC, and none that makes a
 *                 master
 *   target        a peer is set to a Redis of the same shard in the DC of that gid; who follows follows one of the same shard,
 *                 active keepers and relays what is in the primary DC, all others what is in their own
 *   route         never direct where there was always a route, never by a route that nobody gave
 *   removal       a peer is removed only when that is on, it is nobody's, and was so for all its verdicts
 *   asked         each PEEROF follows a ROLE of its own that said master
 *   budget        corrections, and those that cut a link, stay within their rates
 *   insisting     a Redis that refuses is not asked again and again
 *   isolation     a master of the primary DC is held only where DCs guard against isolation, and after its record says so; and
 *                 (system_sim.c) a console that is silent for too long stops all writes, one that is heard again lets all of them go on
 *   two-masters   of a one-way shard two Redis of the primary DC never take writes
 *   container     a keeper is removed only when the metadata does not want it, and started only when it does (system_tree.c)
 *
 * And by system_sim.c itself: start and recovery (everything wanted is actual in time), common-restart (a DC that comes back
 * together keeps its slots where they were), replay (the same seed, the same run), crash.
 *
 * Exempt: for one session time-out after somebody broke ZooKeeper's promises (checks_blur): two owners are possible then,
 * and no member can know. Thread: one. */
#ifndef TESTS_SIM_SYSTEM_CHECKS_H
#define TESTS_SIM_SYSTEM_CHECKS_H

#include "tests/sim/system_tree.h"

void checks_reset(struct system *);
void checks_step(void *system); /* for fake_loop_after_step */
void checks_member_started(const struct system_member *);
/* 'm' NULL: sent by nobody we know. */
void checks_command_sent(struct system *, struct system_member *m, struct system_redis *,
                         size_t argc, const char *const *argv);
/* False: it must not be carried out. */
bool checks_command_arrived(struct system *, struct system_redis *, size_t argc,
                            const char *const *argv);
/* The same two for what belongs to one-way clusters. */
void checks_instance_sent(struct system *, struct system_member *m, const struct system_instance *,
                          size_t argc, const char *const *argv);
void checks_instance_arrived(struct system *, const struct system_instance *, size_t argc,
                             const char *const *argv);
void checks_push_taken(int dc, const char *cluster, int64_t version, void *system);
/* Something in the tree of that DC's ZooKeeper changed; session 0: a foreign client. */
void checks_zk_changed(const char *path, int64_t session, void *zk_dc);
/* ZooKeeper's promises towards this DC were broken just now, and are kept again after 'ms'. */
void checks_blur(struct system *, int dc, int64_t ms);
/* Metadata, masters or owners of this place changed: what was refused may be tried again. */
void checks_changed(int place);
void checks_accepted(struct system *); /* an operator let older or smaller documents in */

#endif
