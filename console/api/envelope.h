/* envelope.h - the wire form of answers of the old REST face, and of failures of both faces (console-api.md 1.1, 1.2, 7.2).
 *
 *   write (not GET)   {"state":0,"message":"success"}; a failure is 200 with {"state":-1,"message":TEXT}
 *   with data         {"state":0,"message":null,"payload":...}
 *   read (GET)        the bare value; a failure is 404, 400 or 5xx with {"message":TEXT,"exception":NAME}
 *   malformed body    500 with {"message":TEXT,"exception":NAME}, also for writes
 *
 * A request with "X-XPipe-Status: strict" gets the true status (400, 404, 409, 501, 503...) for writes and malformed bodies
 * too, and the members "code" and "requestId" in every failure. What the server could not start or finish (overload,
 * draining, time-out) is 503 or 500 in either mode: nobody may take that for a refusal of the change.
 * Paths of migrations (/api/migration, /api/beacon/migration, /api/dr, /console/migration): the status also of a failed write, 400, 404 or 500, with
 * "message" and "exception". What a migration holds (XP_LOCKED) is 409 everywhere.
 * The v2 face (/api/v2): the true status with an RFC 9457 problem {"type","title","status","detail","instance","requestId"}.
 * Thread: any. */
#ifndef CONSOLE_API_ENVELOPE_H
#define CONSOLE_API_ENVELOPE_H

#include "shared/net/http_server.h"

bool envelope_is_strict(const struct http_req *);

/* {"state":0,"message":text}; NULL is "success". */
void envelope_success(struct http_resp *, const char *text);
/* GenericRetMessage; takes 'payload'. */
void envelope_payload(struct http_resp *, json_t *payload);

/* The body as JSON. False: it is missing (unless 'may_be_empty', then *ret_body is NULL) or malformed, and resp holds the
 * answer: the handler returns 0. On success *ret_body is owned. */
bool envelope_body(const struct http_req *, bool may_be_empty, struct http_resp *,
                   json_t **ret_body);
/* The same answer for a body or parameter whose type is wrong. Always returns 0, for `return envelope_malformed(...)`. */
int envelope_malformed(const struct http_req *, struct http_resp *, const struct xp_err *);

/* A failure of the v2 face that has more to say than its detail. */
struct problem {
    int status; /* 0: of the code */
    enum xp_code code;
    const char *detail;
    const char *key; /* of a further member; NULL: none */
    json_t *take_value;
};
void envelope_problem(const struct http_req *, struct http_resp *, const struct problem *);

/* http_options.on_error. Also logs: our own faults as errors, the rest as debug. */
void envelope_error(const struct http_req *, const struct http_route *, const struct xp_err *,
                    struct http_resp *);

#endif
