/* main.c - xpipe-console: the metadata of all DCs. What it consists of is in app.h, what it is for in docs/ARCHITECTURE.md. */
#include "console/app.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

int main(int argc, char **argv)
{
    struct app *app = xcalloc(1, sizeof(*app));
    struct daemon_ops ops = console_daemon_ops;
    ops.config = &app->config;
    ops.common = &app->config.common;
    ops.arg = app;
    int code = daemon_main(&ops, argc, argv);
    free(app);
    return code;
}
