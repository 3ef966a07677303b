/* state_file.h - the peers on disk: the part of redis.conf that stock Redis cannot carry for a
 * module.
 *
 * The file is written whole (to a temporary name, then renamed) by PEEROF rule 3 and by CONFIG
 * REWRITE only, so that a restart finds the same traps as with CRDT Redis (crdt-redis.md 2.4).
 * Main thread. */
#ifndef TESTS_FAKES_CRDT_MODULE_STATE_FILE_H
#define TESTS_FAKES_CRDT_MODULE_STATE_FILE_H

#include <stdbool.h>

/* 0, or the errno of the failure. Without a configured file: 0. */
int state_file_save(void);
/* Reads peers into the table; ret_restarted tells whether a file was there. False: unreadable
 * (the reason is logged). */
bool state_file_load(bool *ret_restarted);

#endif
