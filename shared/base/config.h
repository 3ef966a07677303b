/* config.h - configuration from one table per daemon.
 *
 * A row says everything about a key: name, type, default, limits, unit, whether SIGHUP may change
 * it, and a line of help. From the table come the parser (libinih), the checks, --check-config,
 * --print-config (the text of xpipe.ini), GET /config and the manual. An unknown key, a second
 * definition of a key or a value out of range is refused with file and line. Values live in the
 * daemon's own struct, at the row's offset.
 *
 * File: sections [common], [meta] and [console] (one xpipe.ini serves both daemons: a daemon checks
 * only its own section and [common]); "key = value". A line that starts with ';' or '#' is a comment;
 * inside a value both are plain characters. No line continuation, no includes, at most 4,096 bytes a
 * line and 10,000 lines.
 * Precedence: command line (--set key=value) over file over default.
 * Thread: main, before the other threads run; on SIGHUP the loop thread. */
#ifndef SHARED_BASE_CONFIG_H
#define SHARED_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/base/err.h"

enum config_type {
    CFG_INT,    /* int64_t, min..max */
    CFG_BOOL,   /* bool; true/false/on/off/yes/no */
    CFG_TEXT,   /* char *, owned by the struct; min..max is its length in bytes */
    CFG_SECRET, /* as CFG_TEXT; printed as "***" */
};

struct config_row {
    const char *section; /* "common", "meta", "console" */
    const char *name;    /* as in the file, such as "meta.refresh.milli" */
    enum config_type type;
    size_t offset;   /* of the field in the daemon's struct */
    const char *def; /* default, as text */
    int64_t min;
    int64_t max;
    const char *unit; /* "ms", "bytes", "count", ""... */
    bool reloadable;  /* SIGHUP applies it; otherwise a changed value is reported as ignored */
    const char *help; /* one sentence, no full stop */
    /* Optional check of the whole value (a URL, a JSON object); NULL when limits say it all. Not
     * called for the empty text, which the limits allow or forbid. */
    int (*check)(const char *text, struct xp_err *err);
};
/* The table ends with a row whose name is NULL. */

struct config {
    const struct config_row *rows;
    void *target; /* the daemon's struct; borrowed */
    bool *pinned; /* owned; per row: set by the command line, so the file does not count */
};

/* Puts the defaults in. A default that its own row refuses is a programming error. */
void config_init(struct config *c, const struct config_row *rows, void *target);
/* Frees the texts of the target. */
void config_done(struct config *c);
/* Reads a file. On any error nothing of the target is changed, and the message is
 * "FILE:LINE: key 'k': why". */
int config_load(struct config *c, const char *path, struct xp_err *err) XP_MUST_CHECK;
/* One "key=value" of the command line; may come before or after config_load. */
int config_set(struct config *c, const char *assignment, struct xp_err *err) XP_MUST_CHECK;
/* Re-reads the file: applies reloadable keys only; on any error nothing is changed. A key that left
 * the file goes back to its default. Calls 'report(key, applied, arg)' for each changed key. */
int config_reload(struct config *c, const char *path,
                  void (*report)(const char *key, bool applied, void *arg), void *arg,
                  struct xp_err *err) XP_MUST_CHECK;
/* Prints the table as an ini file with comments: every key with unit, range, default and help. */
void config_print_ini(const struct config_row *rows, FILE *out);
/* One key's current value as text (secrets as "***"). Returns owned (free), NULL for unknown keys. */
char *config_value_text(const struct config *c, const char *name);

#endif
