/* peerof_check.c - what may not reach a CRDT Redis (crdt-redis.md 2.1, 2.5 and 11; see peerof.h). */
#include "shared/crdt/peerof.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

#define PARAMS_MAX_BYTES ROUTE_LINE_MAX_BYTES

static int check_gid(int64_t gid, int own_gid, struct xp_err *err)
{
    if (gid < CRDT_GID_MIN || gid > CRDT_GID_MAX) {
        return xp_fail(err, XP_INVALID, "gid: %lld is not in 1..15, Redis would be damaged",
                       (long long)gid);
    }
    if (own_gid < CRDT_GID_MIN || own_gid > CRDT_GID_MAX) {
        return xp_fail(err, XP_INVALID, "own gid: %d is not in 1..15, read CRDT.INFO first",
                       own_gid);
    }
    if (gid == own_gid) {
        return xp_fail(err, XP_INVALID, "gid: %lld is the gid of this Redis itself",
                       (long long)gid);
    }
    return XP_OK;
}

/* Letters, digits and what addresses need. All else may break the line in the server's config file. */
static bool is_host_text(const char *host)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.:-_";
    return host[0] != '\0' && host[strspn(host, allowed)] == '\0';
}

static int check_host(const char *host, struct xp_err *err)
{
    if (!is_host_text(host) || strlen(host) > ADDR_HOST_MAX) {
        return xp_fail(err, XP_INVALID, "host: it must be 1..%d letters, digits or any of . : - _",
                       ADDR_HOST_MAX);
    }
    if (text_eq_nocase(host, "no")) {
        return xp_fail(err, XP_INVALID, "host: 'no' would be read as a removal");
    }
    struct addr addr = addr_of(host, 1);
    if (addr_is_nobodys(&addr)) {
        return xp_fail(err, XP_INVALID, "host: %s is the address of no Redis", host);
    }
    return XP_OK;
}

static int check_endpoint(const struct peerof_target *target, const struct peerof_context *context,
                          struct xp_err *err)
{
    int rc = check_host(target->addr.host, err);
    if (rc) {
        return rc;
    }
    if (!context->allow_host_names && !addr_is_numeric(&target->addr)) {
        return xp_fail(err, XP_INVALID, "host: '%s' is not an IP address", target->addr.host);
    }
    if (target->addr.port < 1 || target->addr.port > 65535) {
        return xp_fail(err, XP_INVALID, "port: %d is not in 1..65535", target->addr.port);
    }
    if (addr_eq(&target->addr, &context->own_addr)) {
        return xp_fail(err, XP_INVALID, "host: %s is this Redis itself", ADDR_TEXT(&target->addr));
    }
    return XP_OK;
}

/* Routes come from route_parse; built by hand they must be no worse, so the text is read once more. */
static int check_route(const struct peerof_target *target, const struct peerof_context *context,
                       struct xp_err *err)
{
    if (!crdt_version_has_proxy(&context->version)) {
        return xp_fail(err, XP_UNSUPPORTED,
                       "version: '%s' is below 1.0.15 and would go direct instead of by the route",
                       context->version.text);
    }
    AUTO_FREE char *text = route_text(target->route);
    struct route again;
    int rc = route_parse(text, strlen(text), &again, err);
    if (rc == 0) {
        rc = route_check_crdt(&again, err);
    }
    if (rc) {
        return xp_wrap(err, "route");
    }
    if (strchr(target->addr.host, ':')) {
        return xp_fail(err, XP_INVALID, "host: '%s': proxies cannot reach IPv6 addresses",
                       target->addr.host);
    }
    size_t bytes = route_line_bytes(&again, &target->addr);
    if (bytes > ROUTE_LINE_MAX_BYTES) {
        return xp_fail(err, XP_INVALID, "route: its line would grow to %zu bytes, proxies take %d",
                       bytes, ROUTE_LINE_MAX_BYTES);
    }
    return XP_OK;
}

int peerof_check(const struct peerof_target *target, const struct peerof_context *context,
                 struct xp_err *err)
{
    int rc = check_gid(target->gid, context->own_gid, err);
    if (rc == 0) {
        rc = check_endpoint(target, context, err);
    }
    if (rc) {
        return rc;
    }
    if (!context->version.present) {
        return xp_fail(err, XP_UNSUPPORTED, "version: this Redis is not a CRDT Redis");
    }
    if (!crdt_version_has_peerof(&context->version)) {
        return xp_fail(err, XP_UNSUPPORTED, "version: '%s' is below 1.0.4", context->version.text);
    }
    return target->route ? check_route(target, context, err) : XP_OK;
}

int peerof_check_removal(int gid, int own_gid, struct xp_err *err)
{
    return check_gid(gid, own_gid, err);
}

/* Options of somebody else's PEEROF, as they are found. */
struct options {
    const char *proxy_type;
    const char *proxy_servers;
    const char *proxy_params;
    const char *backstream;
};

static const char **option_of(struct options *options, const char *word)
{
    if (text_eq_nocase(word, "proxy-type")) {
        return &options->proxy_type;
    }
    if (text_eq_nocase(word, "proxy-servers")) {
        return &options->proxy_servers;
    }
    if (text_eq_nocase(word, "proxy-params")) {
        return &options->proxy_params;
    }
    return text_eq_nocase(word, "backstream") ? &options->backstream : NULL;
}

/* Redis skips unknown words one by one, so a misspelt option silently becomes a direct link: refused here. */
static int read_options(size_t argc, const char *const *argv, struct options *options,
                        struct xp_err *err)
{
    for (size_t i = 0; i < argc; i += 2) {
        const char **option = option_of(options, argv[i]);
        if (!option) {
            return xp_fail(err, XP_INVALID, "word %zu: it is no option of PEEROF", i + 5);
        }
        if (i + 1 == argc) {
            return xp_fail(err, XP_INVALID, "%s: the value is missing, Redis would crash", argv[i]);
        }
        if (*option) {
            return xp_fail(err, XP_INVALID, "%s: it is given twice", argv[i]);
        }
        *option = argv[i + 1];
    }
    return XP_OK;
}

static int check_params_text(const char *params, struct xp_err *err)
{
    size_t length = strlen(params);
    if (length == 0 || length > PARAMS_MAX_BYTES) {
        return xp_fail(err, XP_INVALID, "proxy-params: the text must have 1..%d bytes",
                       PARAMS_MAX_BYTES);
    }
    for (const char *p = params; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7F || strchr("'\"|\\", *p)) {
            return xp_fail(err, XP_INVALID,
                           "proxy-params: quotes, '|', '\\' and control characters damage the "
                           "server's files");
        }
    }
    return XP_OK;
}

static int check_proxy_options(const struct options *options, struct xp_err *err)
{
    if (!options->proxy_type) {
        bool is_stray = options->proxy_servers || options->proxy_params;
        return is_stray
                   ? xp_fail(err, XP_INVALID, "proxy-type: missing, Redis would ignore the proxies")
                   : XP_OK;
    }
    if (!text_eq_nocase(options->proxy_type, "XPIPE-PROXY")) {
        return xp_fail(err, XP_INVALID, "proxy-type: it must be XPIPE-PROXY");
    }
    if (!options->proxy_servers) {
        return xp_fail(err, XP_INVALID, "proxy-servers: missing");
    }
    int rc = options->proxy_params ? check_params_text(options->proxy_params, err) : XP_OK;
    if (rc) {
        return rc;
    }
    const char *params = options->proxy_params;
    struct route route;
    rc = route_parse_parts(options->proxy_servers, strlen(options->proxy_servers), params,
                           params ? strlen(params) : 0, &route, err);
    if (rc == 0) {
        rc = route_check_crdt(&route, err);
    }
    return rc ? xp_wrap(err, "proxy-servers and proxy-params") : XP_OK;
}

static int check_set_words(size_t argc, const char *const *argv, struct xp_err *err)
{
    int64_t number = 0;
    int rc = check_host(argv[2], err);
    if (rc) {
        return rc;
    }
    if (!text_to_i64(argv[3], strlen(argv[3]), 1, 65535, &number)) {
        return xp_fail(err, XP_INVALID, "port: it is not a number in 1..65535");
    }
    struct options options = { 0 };
    rc = read_options(argc - 4, argv + 4, &options, err);
    if (rc == 0) {
        rc = check_proxy_options(&options, err);
    }
    const char *clock = options.backstream;
    if (rc == 0 && clock && !text_to_i64(clock, strlen(clock), 0, INT64_MAX, &number)) {
        return xp_fail(err, XP_INVALID, "backstream: it is not a number from 0 on");
    }
    return rc;
}

int peerof_check_words(size_t argc, const char *const *argv, int own_gid, struct xp_err *err)
{
    if (argc < 4 || !text_eq_nocase(argv[0], "peerof")) {
        return xp_fail(err, XP_INVALID,
                       "command: it is not PEEROF <gid> <host> <port> ... or "
                       "PEEROF <gid> no one");
    }
    int64_t gid = 0;
    if (!text_to_i64(argv[1], strlen(argv[1]), INT64_MIN, INT64_MAX, &gid)) {
        return xp_fail(err, XP_INVALID, "gid: it is not a number");
    }
    int rc = check_gid(gid, own_gid, err);
    if (rc) {
        return rc;
    }
    if (text_eq_nocase(argv[2], "no") && text_eq_nocase(argv[3], "one")) {
        return argc == 4 ? XP_OK : xp_fail(err, XP_INVALID, "word 5: nothing may follow 'no one'");
    }
    return check_set_words(argc, argv, err);
}
