/* idempotency.h - Idempotency-Key (console-api.md 7; design D2): a POST that is repeated with the same key gets the answer of the first time,
 * and is not carried out again.
 *
 * Kept is the answer of a success, in the same transaction as what it did, for console.idempotency.keep.ms, at most
 * console.idempotency.max of them (the oldest go). A failure is not kept: it did nothing, and may be tried again. The key belongs to method,
 * path and body: with another one of them it is refused, 422. Two at once with the same key: one of them finds what the other did, and is refused
 * as any second one. Thread: workers. */
#ifndef CONSOLE_API_IDEMPOTENCY_H
#define CONSOLE_API_IDEMPOTENCY_H

#include "console/api/request.h"

#define IDEMPOTENCY_KEY_MAX 128

struct idempotency {
    bool is_asked_for;
    char key[IDEMPOTENCY_KEY_MAX + 1];
    char digest[65]; /* SHA-256 of method, target and body */
};
/* Reads the key of the request. True: the handler goes on. False: resp holds the answer (the kept one, with Idempotency-Replayed: true, or a
 * refusal), or *ret_rc and *err say why there is none; the handler returns *ret_rc. */
bool idempotency_begin(const struct http_req *, struct http_resp *, struct idempotency *ret,
                       int *ret_rc, struct xp_err *);
/* In the transaction: keeps the answer. 'location' may be NULL. */
int idempotency_keep(const struct change *, const struct idempotency *,
                     const struct idempotency_limits *, int status, const json_t *body,
                     const char *location, struct xp_err *) XP_MUST_CHECK;

#endif
