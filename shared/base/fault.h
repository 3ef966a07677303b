/* fault.h - named fault points, for tests that break the product on purpose.
 *
 * Compiled in when XP_FAULTS is 1 (debug and sanitizer builds), otherwise every call is a constant
 * "no fault". All points are in FAULT_LIST; a point that is not listed does not compile. main hands
 * the environment variable XPIPE_FAULTS to fault_configure
 * ("db_commit=error:2,http_reply_lost=delay:500"); such builds also offer POST /debug/fault.
 * Kinds: error[:COUNT] (the caller takes its error path; always, or COUNT times), delay:MS (1 to 600,000),
 * crash (abort). "@N" behind it: first at the Nth call since it was configured, and only then
 * unless COUNT says more.
 * Thread: any. */
#ifndef SHARED_BASE_FAULT_H
#define SHARED_BASE_FAULT_H

#include "shared/base/err.h"

#define FAULT_LIST(F)                                                                              \
    F(db_commit)                                                                                   \
    F(db_before_commit)                                                                            \
    F(http_reply_lost)                                                                             \
    F(meta_before_peerof)                                                                          \
    F(meta_after_peerof)                                                                           \
    F(meta_document_fetched)                                                                       \
    F(migration_before_commit)                                                                     \
    F(migration_after_commit)                                                                      \
    F(migration_before_check)                                                                      \
    F(migration_after_check)                                                                       \
    F(migration_before_hold)                                                                       \
    F(migration_after_hold)                                                                        \
    F(migration_before_drain)                                                                      \
    F(migration_after_drain)                                                                       \
    F(migration_before_freeze)                                                                     \
    F(migration_after_freeze)                                                                      \
    F(migration_before_promote)                                                                    \
    F(migration_after_promote)                                                                     \
    F(migration_before_demote)                                                                     \
    F(migration_after_demote)                                                                      \
    F(migration_before_release)                                                                    \
    F(migration_after_release)                                                                     \
    F(migration_before_follow)                                                                     \
    F(migration_after_follow)                                                                      \
    F(migration_before_precheck)                                                                   \
    F(migration_after_precheck)                                                                    \
    F(migration_before_publish)                                                                    \
    F(migration_after_publish)                                                                     \
    F(meta_before_fence)                                                                           \
    F(meta_after_fence)                                                                            \
    F(meta_before_promote)                                                                         \
    F(meta_after_promote)                                                                          \
    F(meta_before_follow)                                                                          \
    F(meta_after_follow)

#define FAULT_ENUM_(name) FAULT_##name,
enum fault_point { FAULT_LIST(FAULT_ENUM_) FAULT_COUNT };

#if defined(XP_FAULTS) && XP_FAULTS
/* 1: take the error path. Sleeps or aborts by itself. */
int fault_hit(enum fault_point point);
/* Parses a "name=kind[:arg][@N],..." list, which replaces everything set before; NULL or "" clears.
 * Refuses unknown names and kinds, and then changes nothing. */
int fault_configure(const char *spec, struct xp_err *err) XP_MUST_CHECK;
#else
static inline int fault_hit(enum fault_point point)
{
    (void)point;
    return 0;
}
static inline int fault_configure(const char *spec, struct xp_err *err)
{
    return spec && spec[0]
               ? xp_fail(err, XP_UNSUPPORTED, "fault points are not built in; use MODE=debug")
               : 0;
}
#endif

#endif
