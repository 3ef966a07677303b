/* migration_table_golden.c - the table of migrations as text is the one in the folder, and docs/states/migration.md is that text.
 *
 * `migration_table_golden --print` writes the page (make docs-states). Input: {"docs": path of the page}. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_decide.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        return NULL;
    }
    struct str text = STR_INIT(1UL << 20);
    char part[4096];
    size_t got = 0;
    while ((got = fread(part, 1, sizeof(part), file)) > 0) {
        str_add(&text, part, got);
    }
    (void)fclose(file);
    return str_take(&text);
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_t *json = json_loadb(input, length, 0, NULL);
    const char *path = json_string_value(json_object_get(json, "docs"));
    AUTO_FREE char *page = path ? read_file(path) : NULL;
    AUTO_FREE char *table = migration_table_text();
    json_decref(json);
    int rc = migration_table_check(err);
    str_puts(out, table);
    if (rc == 0 && !text_eq(page, table)) {
        rc = xp_fail(err, XP_CONFLICT, "docs/states/migration.md is stale: make docs-states");
    }
    return rc;
}

int main(int argc, char **argv)
{
    if (argc == 2 && text_eq(argv[1], "--print")) {
        AUTO_FREE char *table = migration_table_text();
        return fputs(table, stdout) < 0;
    }
    return golden_main(argc, argv, "tests/golden/migration_table", run);
}
