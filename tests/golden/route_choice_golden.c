/* route_choice_golden.c - which route a cluster takes, over recorded situations.
 *
 * Input: {"cluster", "type", "org_id", "designated": [ids], "src_dc", "dst_dc", "tag", "routes": [as in a DC document]}.
 * Output: the choice, why, and the texts that Redis would get. */
#include <jansson.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "shared/proxy/route.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

struct situation {
    char *cluster;
    char *type;
    int64_t org_id;
    char *src_dc;
    char *dst_dc;
    char *tag;
};

#define SITUATION(member) offsetof(struct situation, member)
/* clang-format off */
static const struct jfield situation_fields[] = {
    { .name = "cluster", .type = JF_NAME, .offset = SITUATION(cluster), .flags = JF_REQUIRED },
    { .name = "type", .type = JF_NAME, .offset = SITUATION(type), .flags = JF_REQUIRED },
    { .name = "org_id", .type = JF_INT64, .offset = SITUATION(org_id) },
    { .name = "src_dc", .type = JF_DC, .offset = SITUATION(src_dc), .flags = JF_REQUIRED },
    { .name = "dst_dc", .type = JF_DC, .offset = SITUATION(dst_dc), .flags = JF_REQUIRED },
    { .name = "tag", .type = JF_NAME, .offset = SITUATION(tag), .flags = JF_REQUIRED },
    { 0 },
};
/* clang-format on */

#define DESIGNATED_MAX 16

static size_t designated_of(const json_t *root, int64_t *ids)
{
    const json_t *list = json_object_get(root, "designated");
    size_t count = json_array_size(list) < DESIGNATED_MAX ? json_array_size(list) : DESIGNATED_MAX;
    for (size_t i = 0; i < count; i++) {
        ids[i] = (int64_t)json_integer_value(json_array_get(list, i));
    }
    return count;
}

static void print_choice(const struct route_choice *choice, struct str *out)
{
    static const char *const kinds[] = { [ROUTE_DIRECT] = "direct",
                                         [ROUTE_CHOSEN] = "chosen",
                                         [ROUTE_UNUSABLE] = "unusable, leave as it is" };
    str_printf(out, "choice: %s\n", kinds[choice->kind]);
    str_printf(out, "reason: %s\n", choice->reason);
    if (choice->kind != ROUTE_DIRECT) {
        str_printf(out, "route: %lld%s\n", (long long)choice->route_id,
                   choice->is_fallback ? " (fallback, alert)" : "");
    }
    if (choice->kind == ROUTE_CHOSEN) {
        AUTO_FREE char *servers = route_servers_text(&choice->route);
        AUTO_FREE char *params = route_params_text(&choice->route);
        str_printf(out, "servers: %s\nparams: %s\n", servers, params ? params : "-");
    }
}

static void choose(const struct situation *s, const json_t *root, const struct dc_meta *meta,
                   struct str *out)
{
    int64_t ids[DESIGNATED_MAX];
    struct route_query query = { .cluster_name = s->cluster,
                                 .type = cluster_type_from_text(s->type),
                                 .org_id = s->org_id,
                                 .designated_ids = ids,
                                 .designated_count = designated_of(root, ids),
                                 .src_dc = s->src_dc,
                                 .dst_dc = s->dst_dc,
                                 .tag = s->tag };
    struct route_choice choice;
    route_choose(&query, meta->routes.items, meta->routes.count, &choice);
    print_choice(&choice, out);
}

static int run_case(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_auto_t *root = NULL;
    struct dc_meta *meta = NULL;
    struct situation situation = { 0 };
    int rc = jd_parse(input, length, &root, err);
    if (rc == 0) {
        rc = dc_meta_from_json(root, &meta, err);
    }
    if (rc == 0) {
        rc = jd_object(root, situation_fields, &situation, err);
    }
    if (rc == 0) {
        choose(&situation, root, meta, out);
    }
    jd_done(situation_fields, &situation);
    dc_meta_free(meta);
    return rc;
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/route_choice", run_case);
}
