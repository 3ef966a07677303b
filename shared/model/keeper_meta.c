/* keeper_meta.c - the KeeperMeta of metaserver.md 4.5, alone and inside shards (see dc_meta.h). */
#include "shared/base/mem.h"
#include "shared/model/meta_codec.h"

#include "shared/base/banned.h"

#define ID_MAX 256 /* 40 in the keepers of today */

static int decode_priority(const json_t *value, void *field, struct xp_err *err)
{
    if (value && !json_is_integer(value)) {
        return xp_fail(err, XP_INVALID, "it is not a whole number");
    }
    *(int64_t *)field = value ? json_integer_value(value) : 1;
    return XP_OK;
}

#define KEEPER(member) offsetof(struct keeper_meta, member)
/* clang-format off */
const struct jfield meta_keeper_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_STRING, .offset = KEEPER(id), .max_length = ID_MAX },
    { .name = "ip", .type = JF_CUSTOM, .offset = KEEPER(addr.host), .flags = JF_REQUIRED, .decode = meta_decode_host },
    { .name = "port", .type = JF_PORT, .offset = KEEPER(addr.port), .flags = JF_REQUIRED },
    { .name = "active", .type = JF_BOOL, .offset = KEEPER(is_active) },
    { .name = "keeperContainerId", .type = JF_INT64, .offset = KEEPER(container_id) },
    { .name = "priority", .type = JF_CUSTOM, .offset = KEEPER(priority), .flags = JF_SEE_ABSENT, .decode = decode_priority },
    { 0 },
};
/* clang-format on */

json_t *keeper_meta_to_json(const struct keeper_meta *keeper)
{
    return json_pack("{s:o, s:o, s:i, s:n, s:b, s:o, s:I, s:n, s:n}", "id", jd_text(keeper->id),
                     "ip", jd_text(keeper->addr.host), "port", keeper->addr.port, "master",
                     "active", (int)keeper->is_active, "keeperContainerId",
                     meta_number_or_null(keeper->container_id), "priority",
                     (json_int_t)keeper->priority, "offset", "survive");
}

int keeper_meta_from_json(const json_t *value, struct keeper_meta *ret_keeper, struct xp_err *err)
{
    struct keeper_meta keeper = { 0 };
    int rc = jd_object(value, meta_keeper_fields, &keeper, err);
    if (rc) {
        keeper_meta_done(&keeper);
        return rc;
    }
    *ret_keeper = keeper;
    return XP_OK;
}

int keeper_meta_parse(const char *text, size_t length, struct keeper_meta *ret_keeper,
                      struct xp_err *err)
{
    json_auto_t *json = NULL;
    int rc = meta_parse_one(text, length, "keeper", &json, err);
    return rc ? rc : keeper_meta_from_json(json, ret_keeper, err);
}

void keeper_meta_done(struct keeper_meta *keeper)
{
    jd_done(meta_keeper_fields, keeper);
    *keeper = (struct keeper_meta){ 0 };
}
