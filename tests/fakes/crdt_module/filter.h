/* filter.h - the commands of stock Redis that CRDT Redis answers differently: INFO, CONFIG, and
 * everything that is refused with -LOADING. A command filter turns them into commands of this
 * module. Main thread. */
#ifndef TESTS_FAKES_CRDT_MODULE_FILTER_H
#define TESTS_FAKES_CRDT_MODULE_FILTER_H

#include "tests/fakes/crdt_module/standin.h"

int filter_start(struct rm_ctx *ctx);

#endif
