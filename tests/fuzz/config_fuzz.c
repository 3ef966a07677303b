/* config_fuzz.c - any bytes as configuration file: refused with a position, or within the limits of the table. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/base/config.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
    int64_t port;
    bool enabled;
    char *text;
};

static const struct config_row rows[] = {
    { "common", "port", CFG_INT, offsetof(struct settings, port), "80", 1, 65535, "", true, "P",
      NULL },
    { "meta", "enabled", CFG_BOOL, offsetof(struct settings, enabled), "no", 0, 0, "", true, "E",
      NULL },
    { "meta", "text", CFG_TEXT, offsetof(struct settings, text), "abc", 2, 30, "", true, "T",
      NULL },
    { 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    xp_check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    AUTO_FREE char *path = xasprintf("/proc/self/fd/%d", fd);
    struct settings settings = { 0 };
    struct config config;
    struct xp_err err = { 0 };
    config_init(&config, rows, &settings);
    int rc = config_load(&config, path, &err);
    if (rc != 0) {
        xp_check(text_has_prefix(err.msg, path));
        xp_check(settings.port == 80 && !settings.enabled && text_eq(settings.text, "abc"));
    }
    xp_check(settings.port >= 1 && settings.port <= 65535);
    xp_check(strlen(settings.text) >= 2 && strlen(settings.text) <= 30);
    xp_check(text_is_utf8(settings.text, strlen(settings.text)));
    config_done(&config);
    (void)close(fd);
    return 0;
}
