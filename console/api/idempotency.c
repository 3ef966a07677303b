/* idempotency.c - see idempotency.h. */
#include "console/api/idempotency.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "console/store/query.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { UNPROCESSABLE = 422 };

/* ---- the key, and what it belongs to ---- */

static int read_key(const char *text, struct idempotency *k, struct xp_err *err)
{
    size_t length = strlen(text);
    bool is_good = length > 0 && length <= IDEMPOTENCY_KEY_MAX;
    for (size_t i = 0; is_good && i < length; i++) {
        is_good = text[i] > ' ' && text[i] < 0x7F;
    }
    if (!is_good) {
        return xp_fail(err, XP_INVALID,
                       "Idempotency-Key: 1..%d printable characters without blanks",
                       IDEMPOTENCY_KEY_MAX);
    }
    memcpy(k->key, text, length + 1);
    return 0;
}

static void digest(const struct http_req *req, char ret_digest[65])
{
    size_t length = 0;
    const char *body = http_req_body(req, &length);
    const char *texts[] = { http_req_method(req), "\n", http_req_target(req), "\n" };
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    xp_check(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        xp_check(EVP_DigestUpdate(ctx, texts[i], strlen(texts[i])) == 1);
    }
    xp_check(EVP_DigestUpdate(ctx, body, length) == 1);
    xp_check(EVP_DigestFinal_ex(ctx, bytes, &size) == 1 && size == 32);
    EVP_MD_CTX_free(ctx);
    for (unsigned i = 0; i < size; i++) {
        (void)snprintf(ret_digest + (size_t)2 * i, 3, "%02x", bytes[i]);
    }
}

/* ---- what was answered before ---- */

struct looking {
    const struct idempotency *key;
    int64_t not_before_ms;
    bool is_there;
    bool is_same;
    int status;
    char *body;
    char *location; /* NULL */
};

static void looking_done(struct looking *l)
{
    free(l->body);
    free(l->location);
}

static int look(struct db *db, void *arg, struct xp_err *err)
{
    struct looking *l = arg;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_IDEMPOTENCY_GET, QUERY_ARGS(QT(l->key->key)));
    int rc = db_step(&s, err);
    if (rc != DB_ROW || db_col_i64(&s, 0) < l->not_before_ms) {
        return rc < 0 ? rc : 0;
    }
    l->is_there = true;
    l->is_same = text_eq(db_col_text(&s, 1), l->key->digest);
    l->status = (int)db_col_i64(&s, 2);
    l->body = query_text(&s, 3);
    l->location = text_is_empty(db_col_text(&s, 4)) ? NULL : query_text(&s, 4);
    return 0;
}

static void replay(const struct looking *l, struct http_resp *resp)
{
    http_resp_text(resp, l->status, "application/json;charset=UTF-8", l->body);
    http_resp_header(resp, "Idempotency-Replayed", "true");
    if (l->location) {
        http_resp_header(resp, "Location", l->location);
    }
}

bool idempotency_begin(const struct http_req *req, struct http_resp *resp, struct idempotency *ret,
                       int *ret_rc, struct xp_err *err)
{
    const char *text = http_req_header(req, "Idempotency-Key");
    *ret = (struct idempotency){ .is_asked_for = text != NULL };
    *ret_rc = 0;
    if (!text) {
        return true;
    }
    *ret_rc = read_key(text, ret, err);
    if (*ret_rc != 0) {
        return false;
    }
    digest(req, ret->digest);
    CLEANUP(looking_done)
    struct looking l = { .key = ret,
                         .not_before_ms = clock_wall_ms() - api_context(req)->idempotency.keep_ms };
    *ret_rc = store_read(api_catalog(req)->store, look, &l, err);
    if (*ret_rc != 0) {
        return false;
    }
    if (l.is_there && l.is_same) {
        replay(&l, resp);
    } else if (l.is_there) {
        envelope_problem(req, resp,
                         &(struct problem){ .status = UNPROCESSABLE,
                                            .code = XP_CONFLICT,
                                            .detail = "Idempotency-Key: it was used for another "
                                                      "request (method, path or body)" });
    }
    return !l.is_there;
}

/* ---- keeping ---- */

int idempotency_keep(const struct change *change, const struct idempotency *key,
                     const struct idempotency_limits *limits, int status, const json_t *body,
                     const char *location, struct xp_err *err)
{
    if (!key->is_asked_for) {
        return 0;
    }
    AUTO_FREE char *text = json_dumps(body, JSON_COMPACT);
    int rc =
        query_run(change->db, Q_IDEMPOTENCY_FORGET,
                  QUERY_ARGS(QI(change->now_ms - limits->keep_ms), QI(limits->max_count - 1)), err);
    return rc != 0 ? rc
                   : query_run(change->db, Q_IDEMPOTENCY_PUT,
                               QUERY_ARGS(QT(key->key), QI(change->now_ms), QT(key->digest),
                                          QI(status), QT(text), QT(location ? location : "")),
                               err);
}
