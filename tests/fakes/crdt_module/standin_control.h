/* standin_control.h - the STANDIN.* commands by which tests order states and faults.
 *
 *   STANDIN.LINK gid up|down|sync|stale|auto|SECONDS [last-io S] [down-since S] [offset N]
 *       shows a state in place of the real one until "auto" or until PEEROF replaces the peer;
 *       stale = up, last traffic 40 s ago; SECONDS = up, last traffic so long ago;
 *       down-since -1 (default) = never up
 *   STANDIN.MODE loading on|off         -LOADING for PING and data commands, backstreaming:1
 *   STANDIN.FAIL peerof off|hang|close|TEXT   answers every PEEROF of clients so
 *   STANDIN.REWRITE-FAIL on|off         PEEROF rule 3 and CONFIG REWRITE cannot write the config
 *   STANDIN.SET gid|namespace|version|tick-ms|sync-delay-ms|lazy-ms|ping-ms|timeout-ms|crash VALUE
 *   STANDIN.LOG [clear]                 what was sent: PEEROF, CONFIG REWRITE, SLAVEOF
 *   STANDIN.CRASHED                     [count, last input] that would have killed a server */
#ifndef TESTS_FAKES_CRDT_MODULE_STANDIN_CONTROL_H
#define TESTS_FAKES_CRDT_MODULE_STANDIN_CONTROL_H

#include "tests/fakes/crdt_module/standin.h"

int control_start(struct rm_ctx *ctx);
/* One setting by name, as load argument or by STANDIN.SET. False: unknown name or bad value. */
bool setting_apply(const char *name, const char *value);

#endif
