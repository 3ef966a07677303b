/* server_info.c - the registration of a metaserver as JSON. */
#include "meta/zk/server_info.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/random.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static int info_from_json(const json_t *root, struct server_info *info, struct xp_err *err)
{
    const char *ip = json_string_value(json_object_get(root, "ip"));
    const json_t *port = json_object_get(root, "port");
    const char *start_id = json_string_value(json_object_get(root, "startId"));
    const char *dc = json_string_value(json_object_get(root, "dc"));
    json_int_t number = json_is_integer(port) ? json_integer_value(port) : 0;
    if (!ip || number < 1 || number > 65535) {
        return xp_fail(err, XP_INVALID, "registration of server %lld lacks ip or port",
                       (long long)info->id);
    }
    info->addr = addr_of(ip, (int)number);
    if (addr_is_none(&info->addr)) {
        return xp_fail(err, XP_INVALID, "registration of server %lld has a bad ip",
                       (long long)info->id);
    }
    if (start_id && strlen(start_id) < sizeof(info->start_id)) {
        (void)snprintf(info->start_id, sizeof(info->start_id), "%s", start_id);
    }
    if (dc && strlen(dc) < sizeof(info->dc)) {
        (void)snprintf(info->dc, sizeof(info->dc), "%s", dc);
    }
    return 0;
}

int server_info_parse(int64_t id, const char *json, size_t length, struct server_info *ret_info,
                      struct xp_err *err)
{
    struct server_info info = { .id = id };
    json_t *root = json ? json_loadb(json, length, 0, NULL) : NULL;
    int rc = info_from_json(root, &info, err);
    json_decref(root);
    if (rc == 0) {
        *ret_info = info;
    }
    return rc;
}

const char *server_info_text(const struct server_info *info, char *buf)
{
    json_t *root = json_pack("{s:s, s:i}", "ip", info->addr.host, "port", info->addr.port);
    if (root && info->start_id[0]) {
        json_object_set_new(root, "startId", json_string(info->start_id));
    }
    if (root && info->dc[0]) {
        json_object_set_new(root, "dc", json_string(info->dc));
    }
    size_t length = root ? json_dumpb(root, buf, SERVER_TEXT_MAX - 1, JSON_COMPACT) : 0;
    json_decref(root);
    xp_check(length > 0 && length < SERVER_TEXT_MAX);
    buf[length] = '\0';
    return buf;
}

bool server_info_eq(const struct server_info *a, const struct server_info *b)
{
    return a->id == b->id && addr_eq(&a->addr, &b->addr) && text_eq(a->start_id, b->start_id);
}

bool server_id_parse(const char *name, int64_t *ret_id)
{
    return text_to_i64(name, strlen(name), 1, SERVER_ID_MAX, ret_id);
}

void server_start_id_make(char *buf)
{
    uint64_t words[2];
    random_fill(words, sizeof(words));
    (void)snprintf(buf, SERVER_START_ID_MAX, "%016llx%016llx", (unsigned long long)words[0],
                   (unsigned long long)words[1]);
}
