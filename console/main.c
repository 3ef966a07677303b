/* main.c - the console daemon: see shared/net/daemon.h for what main does, console/app.h for the rest. */
#include "console/api/tables.h"
#include "console/app.h"
#include "shared/base/banned.h"

int main(int argc, char **argv)
{
    static struct app app;
    const struct daemon_ops ops = {
        .name = "xpipe-console",
        .summary =
            "keeps the metadata of Redis in several data centers and serves it to the metaservers",
        .rows = console_config_rows,
        .config = &app.config,
        .common = &app.config.common,
        .routes = api_tables,
        .arg = &app,
        .check = console_config_check,
        .files_needed = console_config_files_needed,
        .start = app_start,
        .is_ready = app_is_ready,
        .reloaded = app_reloaded,
        .drain = app_drain,
        .stop = app_stop,
    };
    return daemon_main(&ops, argc, argv);
}
