/* redis_role_fuzz.c - answers to ROLE put together from the input, and the input itself as the bytes of a reply.
 *
 * Input: per element one byte that chooses its type, then its text up to '\n'. */
#include <stdlib.h>

#include "shared/net/redis_role.h"
#include "shared/net/resp.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

#define ELEMENTS_MAX    8
#define LIST_MAX        4
#define REPLY_MAX_BYTES 16384

static void check(const struct rreply *reply)
{
    struct redis_role role;
    memset(&role, 0x5a, sizeof(role));
    redis_role_read(reply, &role);
    bool is_follower = role.kind == ROLE_KIND_REPLICA || role.kind == ROLE_KIND_KEEPER;
    xp_check(role.offset >= -1);
    xp_check(role.kind == ROLE_KIND_MASTER || role.replicas == 0);
    xp_check(role.replicas >= 0 && role.replicas <= REPLY_MAX_BYTES);
    xp_check(is_follower || (role.link == ROLE_LINK_UNKNOWN && addr_is_none(&role.master)));
    xp_check(strnlen(role.master.host, sizeof(role.master.host)) < sizeof(role.master.host));
    xp_check(addr_is_none(&role.master) == (role.master.port == 0));
    xp_check(rreply_count(reply) == (is_follower ? 5 : 3) || role.kind == ROLE_KIND_UNKNOWN);
    xp_check(role_link_from_text(role_link_text(role.link)) == role.link);
    xp_check(role_kind_text(role.kind)[0] != '\0');
}

static struct rreply *list_of(size_t count)
{
    struct rreply *elements[LIST_MAX];
    for (size_t i = 0; i < count; i++) {
        elements[i] = rreply_new_integer((int64_t)i);
    }
    return rreply_new_array(elements, count);
}

static struct rreply *element(const char *line)
{
    switch (line[0]) {
    case ':':
        return rreply_new_integer(strtoll(line + 1, NULL, 10));
    case '$':
        return rreply_new_text(RREPLY_BULK, line + 1, strlen(line + 1));
    case '-':
        return rreply_new_text(RREPLY_ERROR, line + 1, strlen(line + 1));
    case '*':
        return list_of(strlen(line + 1) % LIST_MAX);
    case '_':
        return rreply_new_text(RREPLY_NIL, "", 0);
    default:
        return rreply_new_text(RREPLY_STATUS, line, strlen(line));
    }
}

static void check_made(const uint8_t *bytes, size_t size)
{
    struct fuzz_input in = { (const char *)bytes, (const char *)bytes + size };
    struct rreply *elements[ELEMENTS_MAX];
    size_t count = 0;
    while (count < ELEMENTS_MAX) {
        AUTO_FREE char *line = fuzz_line(&in);
        if (!line) {
            break;
        }
        elements[count++] = element(line);
    }
    struct rreply *reply = rreply_new_array(elements, count);
    check(reply);
    rreply_free(reply);
}

static void check_bytes(const uint8_t *bytes, size_t size)
{
    struct resp_reader *reader = resp_reader_new(REPLY_MAX_BYTES);
    struct rreply *reply = NULL;
    resp_reader_feed(reader, (const char *)bytes, size);
    if (resp_reader_next(reader, &reply, NULL) == RESP_REPLY) {
        check(reply);
        rreply_free(reply);
    }
    resp_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    check(NULL);
    check_made(bytes, size);
    check_bytes(bytes, size);
    return 0;
}
