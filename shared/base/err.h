/* err.h - the one error type: a code and one line of text, on the caller's stack.
 *
 * It is not a log and not an exception: whoever can do something about an error reads it, the top
 * of a thread (request handler, timer, driver) logs it, everybody between only adds context with
 * xp_wrap.
 *
 * Results of functions, everywhere: 0 is success; negative is an enum xp_code, always passed up;
 * positive is an outcome of that one function, named in its header and never passed up.
 * Thread: any; a struct xp_err belongs to the call that declared it. */
#ifndef SHARED_BASE_ERR_H
#define SHARED_BASE_ERR_H

enum xp_code {
    XP_OK = 0,
    XP_INVALID = -1,      /* the caller's input is wrong; the text names the field */
    XP_NOT_FOUND = -2,    /* the named object does not exist */
    XP_CONFLICT = -3,     /* it exists already, or its state forbids this */
    XP_FORBIDDEN = -4,    /* refused by policy */
    XP_NOT_OWNER = -5,    /* another metaserver owns it, or our lease is over */
    XP_UNAVAILABLE = -6,  /* not now: not connected, queue full, shutting down */
    XP_TIMEOUT = -7,      /* no answer in time: the outcome is unknown */
    XP_IO = -8,           /* the transport failed, or the peer answered garbage */
    XP_TOO_LARGE = -9,    /* over a limit */
    XP_TOO_MANY = -10,    /* over a rate or a budget */
    XP_UNSUPPORTED = -11, /* known, and not offered */
    XP_REMOTE = -12,      /* the peer understood and answered with an error of its own */
    XP_INTERNAL = -13,    /* our fault */
    XP_LOCKED = -14,      /* not while a migration holds it */
};

struct xp_err {
    int code;
    char msg[240]; /* one line, no full stop, names the object; cut with "..." when longer */
};

struct xp_code_info {
    int code;
    const char *name; /* stable token, such as NOT_FOUND */
    int http_status;  /* what strict (v2) endpoints answer */
    int is_our_fault; /* log at error instead of info */
    int may_retry;    /* the same call may succeed later */
};

#define XP_MUST_CHECK        __attribute__((warn_unused_result))
#define XP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Sets *err (NULL is fine) and returns 'code', so that `return xp_fail(...)` reads well. */
int xp_fail(struct xp_err *err, enum xp_code code, const char *fmt, ...) XP_PRINTF(3, 4);
/* Puts "<text>: " in front of the message, and returns err->code. */
int xp_wrap(struct xp_err *err, const char *fmt, ...) XP_PRINTF(2, 3);
/* The row of a code; unknown codes give the row of XP_INTERNAL. Never NULL. */
const struct xp_code_info *xp_code_info(int code);

/* A programming error: stays on in release builds, prints and aborts. Never for input. */
#define xp_check(cond)                                                                             \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            xp_check_failed(#cond, __FILE__, __LINE__);                                            \
        }                                                                                          \
    } while (0)
void xp_check_failed(const char *cond, const char *file, int line) __attribute__((noreturn));

#endif
