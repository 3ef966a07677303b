/* keeper_file.c - see keeper_file.h. One line: "<run id> <state> data|empty". */
#include "tests/fakes/keeper_module/keeper_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fakes/keeper_module/keeper_standin.h"

#include "shared/base/banned.h"

static bool write_file(const char *path)
{
    FILE *f = fopen(path, "we");
    bool ok;

    if (!f) {
        return false;
    }
    ok = fprintf(f, "%s %s %s\n", keeper.set.run_id, keeper_state_text(keeper.state),
                 keeper.has_data ? "data" : "empty") > 0;
    return fclose(f) == 0 && ok;
}

void keeper_file_save(void)
{
    char temp[sizeof keeper.set.state_file + 8];

    if (keeper.set.state_file[0] == '\0') {
        return;
    }
    (void)snprintf(temp, sizeof temp, "%s.tmp", keeper.set.state_file);
    if (!write_file(temp) || rename(temp, keeper.set.state_file) != 0) {
        RM_Log(keeper.ctx, "warning", "standin: cannot write %s: %s", keeper.set.state_file,
               strerror(errno));
        unlink(temp);
    }
}

static enum keeper_state state_after_restart(enum keeper_state before)
{
    if (!keeper.has_data) {
        return KEEPER_UNKNOWN;
    }
    return before == KEEPER_ACTIVE || before == KEEPER_PRE_ACTIVE ? KEEPER_PRE_ACTIVE
                                                                  : KEEPER_PRE_BACKUP;
}

static bool parse(const char *line)
{
    char run_id[RUN_ID_LEN + 1], state_word[16], data[8];
    enum keeper_state before;

    if (sscanf(line, "%40s %15s %7s", run_id, state_word, data) != 3 ||
        !keeper_state_parse(state_word, &before)) {
        return false;
    }
    if (strcmp(run_id, keeper.set.run_id) != 0) {
        return true; /* the store of another keeper is unusable: begin a new one */
    }
    keeper.has_data = strcmp(data, "data") == 0;
    keeper.state = state_after_restart(before);
    return true;
}

bool keeper_file_load(void)
{
    char line[128];
    FILE *f = keeper.set.state_file[0] ? fopen(keeper.set.state_file, "re") : NULL;
    bool ok;

    if (!f) {
        return keeper.set.state_file[0] == '\0' || errno == ENOENT;
    }
    ok = fgets(line, sizeof line, f) && parse(line);
    (void)fclose(f);
    return ok;
}
