/* settings_fuzz.c - --set of both daemons, with their real tables: dcinfos, metaservers, addresses, types, limits.
 * Input: 'm' or 'c' for the daemon, then a line "key=value" each. A value is refused by name, or can be read out and set again
 * to the same; the checks between keys, and what parses the value later (aliases, types), must stand it too. */
#include "console/catalog/catalog.h"
#include "console/catalog/dc_alias.h"
#include "console/console_config.h"
#include "meta/meta_config.h"
#include "shared/base/config.h"
#include "shared/base/str.h"
#include "shared/net/daemon.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

static bool is_secret(const struct config *config, const char *name)
{
    for (const struct config_row *row = config->rows; row->name; row++) {
        if (text_eq(row->name, name)) {
            return row->type == CFG_SECRET;
        }
    }
    return false;
}

static void check_same_again(struct config *config, const char *name)
{
    AUTO_FREE char *value = config_value_text(config, name);
    AUTO_FREE char *line = xasprintf("%s=%s", name, value);
    struct xp_err err;
    xp_check(value != NULL && config_set(config, line, &err) == 0);
    AUTO_FREE char *again = config_value_text(config, name);
    xp_check(text_eq(value, again));
}

static void set(struct config *config, char *line)
{
    struct xp_err err = { 0 };
    int rc = config_set(config, line, &err);
    char *eq = strchr(line, '=');
    if (rc != 0) {
        xp_check(err.msg[0]);
    } else {
        *eq = '\0';
        if (!is_secret(config, line)) {
            check_same_again(config, line);
        }
    }
}

static void use_console(const struct console_config *c)
{
    struct dc_alias *alias = NULL;
    struct xp_err err;
    unsigned types;
    if (dc_alias_parse(c->dc_mapping, &alias, &err) == 0) {
        const char *inner = dc_alias_inner(alias, "fra-aws");
        xp_check(inner != NULL && dc_alias_outer(alias, inner) != NULL);
    }
    dc_alias_free(alias);
    (void)type_set_parse(c->cluster_types, &types, &err);
}

static void run(const struct config_row *rows, void *target, struct fuzz_input *in)
{
    struct config config;
    config_init(&config, rows, target);
    for (;;) {
        AUTO_FREE char *line = fuzz_line(in);
        if (!line) {
            break;
        }
        set(&config, line);
    }
    struct xp_err err = { 0 };
    if (rows == meta_config_rows) {
        xp_check(meta_config_check(target, &err) == 0 || err.msg[0]);
    } else {
        xp_check(console_config_check(target, &err) == 0 || err.msg[0]);
        use_console(target);
    }
    config_done(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct fuzz_input in = { (const char *)bytes + 1, (const char *)bytes + size };
    struct meta_config meta = { 0 };
    struct console_config console = { 0 };
    if (bytes[0] == 'm') {
        run(meta_config_rows, &meta, &in);
    } else {
        run(console_config_rows, &console, &in);
    }
    return 0;
}
