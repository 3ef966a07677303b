/* config.c - see config.h.
 *
 * A file is read into a list of checked texts first, one per row, and applied when all of it is
 * good. libinih's own limits are silent (a long line becomes two), so the reader underneath it
 * counts the lines and refuses what would not fit. */
#include "shared/base/config.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

#include "shared/base/banned.h"

#define LINE_MAX_BYTES 4096
#define LINES_MAX      10000

static const char *const known_sections[] = { "common", "meta", "console" };

union value {
    int64_t number;
    bool flag;
};

static size_t row_count(const struct config_row *rows)
{
    size_t n = 0;
    while (rows[n].name) {
        n++;
    }
    return n;
}

static void *field(const struct config *c, const struct config_row *row)
{
    return (char *)c->target + row->offset;
}

static bool is_text(const struct config_row *row)
{
    return row->type == CFG_TEXT || row->type == CFG_SECRET;
}

static const char *default_text(const struct config_row *row)
{
    return row->def ? row->def : "";
}

static bool flag_from_text(const char *text, bool *ret_flag)
{
    static const char *const words[][2] = { { "false", "true" }, { "off", "on" }, { "no", "yes" } };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        for (int flag = 0; flag < 2; flag++) {
            if (text_eq(text, words[i][flag])) {
                *ret_flag = flag;
                return true;
            }
        }
    }
    return false;
}

static int check_text(const struct config_row *row, const char *text, struct xp_err *err)
{
    size_t length = strlen(text);
    if ((int64_t)length < row->min || (int64_t)length > row->max) {
        return xp_fail(err, XP_INVALID, "has %zu bytes, must have %lld to %lld", length,
                       (long long)row->min, (long long)row->max);
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return xp_fail(err, XP_INVALID, "holds a control character");
        }
    }
    if (!text_is_utf8(text, length)) {
        return xp_fail(err, XP_INVALID, "is not UTF-8");
    }
    return 0;
}

/* Checks one text against its row; numbers and flags come back parsed. */
static int parse_value(const struct config_row *row, const char *text, union value *ret_value,
                       struct xp_err *err)
{
    union value v = { 0 };
    int rc = 0;
    switch (row->type) {
    case CFG_INT:
        if (!text_to_i64(text, strlen(text), row->min, row->max, &v.number)) {
            rc = xp_fail(err, XP_INVALID, "'%s' is not a whole number from %lld to %lld", text,
                         (long long)row->min, (long long)row->max);
        }
        break;
    case CFG_BOOL:
        if (!flag_from_text(text, &v.flag)) {
            rc = xp_fail(err, XP_INVALID, "'%s' is not true or false", text);
        }
        break;
    case CFG_TEXT:
    case CFG_SECRET:
        rc = check_text(row, text, err);
        break;
    }
    if (rc == 0 && row->check && text[0]) {
        rc = row->check(text, err);
    }
    if (rc == 0) {
        *ret_value = v;
    }
    return rc;
}

/* 'text' was checked before. */
static void apply(const struct config *c, const struct config_row *row, const char *text)
{
    union value v = { 0 };
    struct xp_err err = { 0 };
    int rc = parse_value(row, text, &v, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "config row '%s': the default %s\n", row->name, err.msg);
        xp_check(rc == 0);
    }
    if (is_text(row)) {
        char **where = field(c, row);
        free(*where);
        *where = xstrdup(text);
    } else if (row->type == CFG_INT) {
        *(int64_t *)field(c, row) = v.number;
    } else {
        *(bool *)field(c, row) = v.flag;
    }
}

void config_init(struct config *c, const struct config_row *rows, void *target)
{
    *c = (struct config){ .rows = rows, .target = target };
    size_t n = row_count(rows);
    c->pinned = xcalloc(n, sizeof(*c->pinned));
    for (size_t i = 0; i < n; i++) {
        if (is_text(&rows[i])) {
            *(char **)field(c, &rows[i]) = NULL;
        }
        apply(c, &rows[i], default_text(&rows[i]));
    }
}

void config_done(struct config *c)
{
    for (const struct config_row *row = c->rows; row && row->name; row++) {
        if (is_text(row)) {
            char **where = field(c, row);
            free(TAKE(*where));
        }
    }
    free(TAKE(c->pinned));
}

/* One file while it is read. */
struct reading {
    const struct config *config;
    const char *path;
    FILE *file;
    int line;
    char **texts; /* per row: owned text, NULL when the file does not name it */
    int *lines;   /* per row: where it was defined */
    struct xp_err *err;
    int rc;
};

static bool is_own_section(const struct config *c, const char *section)
{
    for (const struct config_row *row = c->rows; row->name; row++) {
        if (text_eq(row->section, section)) {
            return true;
        }
    }
    return false;
}

static bool is_known_section(const struct config *c, const char *section)
{
    for (size_t i = 0; i < ARRAY_LEN(known_sections); i++) {
        if (text_eq(section, known_sections[i])) {
            return true;
        }
    }
    return is_own_section(c, section);
}

static int refuse(struct reading *r, const char *why)
{
    if (r->rc == 0) {
        r->rc = xp_fail(r->err, XP_INVALID, "%s:%d: %s", r->path, r->line, why);
    }
    return r->rc;
}

static void check_section_line(struct reading *r, const char *line)
{
    const char *open = line + strspn(line, " \t");
    const char *close = strchr(open, ']');
    if (*open != '[' || !close) {
        return; /* libinih refuses a section without its end */
    }
    AUTO_FREE char *name = xstrndup(open + 1, (size_t)(close - open) - 1);
    if (!is_known_section(r->config, name)) {
        AUTO_FREE char *why =
            xasprintf("section [%.60s] is unknown; there are [common], [meta] and "
                      "[console]",
                      name);
        (void)refuse(r, why);
    } else if (close[1 + strspn(close + 1, " \t\r\n")] != '\0') {
        (void)refuse(r, "there is text behind the section");
    }
}

/* As fgets, but tells the length: a line may hold NUL bytes. 0 at the end of the file. */
static size_t take_line(FILE *file, char *buf, size_t size)
{
    size_t n = 0;
    while (n < size - 1 && (n == 0 || buf[n - 1] != '\n')) {
        int c = getc(file);
        if (c == EOF) {
            break;
        }
        buf[n++] = (char)c;
    }
    buf[n] = '\0';
    return n;
}

static const char *judge_line(const struct reading *r, const char *buf, size_t length)
{
    if (memchr(buf, '\0', length)) {
        return "the line holds a NUL byte";
    }
    if (buf[length - 1] != '\n' && !feof(r->file)) {
        return "the line is too long";
    }
    return r->line > LINES_MAX ? "the file has too many lines" : NULL;
}

/* One line for libinih, which takes this for fgets; NULL ends the file, also after an error. */
static char *read_line(char *buf, int size, void *arg)
{
    struct reading *r = arg;
    if (r->rc != 0) {
        return NULL;
    }
    size_t length = take_line(r->file, buf, (size_t)size);
    if (ferror(r->file)) {
        (void)refuse(r, "cannot be read");
        return NULL;
    }
    if (length == 0) {
        return NULL;
    }
    r->line++;
    const char *why = judge_line(r, buf, length);
    if (why) {
        (void)refuse(r, why);
    } else {
        check_section_line(r, buf);
    }
    return r->rc == 0 ? buf : NULL;
}

static const struct config_row *row_of(const struct config *c, const char *section,
                                       const char *name)
{
    for (const struct config_row *row = c->rows; row->name; row++) {
        if (text_eq(row->name, name) && (!section || text_eq(row->section, section))) {
            return row;
        }
    }
    return NULL;
}

static int refuse_key(struct reading *r, const char *name, const char *why)
{
    AUTO_FREE char *text = xasprintf("key '%.60s': %s", name, why);
    return refuse(r, text);
}

static int accept_key(struct reading *r, const struct config_row *row, const char *text)
{
    size_t i = (size_t)(row - r->config->rows);
    if (r->texts[i]) {
        AUTO_FREE char *why = xasprintf("is defined twice, first in line %d", r->lines[i]);
        return refuse_key(r, row->name, why);
    }
    union value unused;
    struct xp_err why = { 0 };
    if (parse_value(row, text, &unused, &why) != 0) {
        return refuse_key(r, row->name, why.msg);
    }
    r->texts[i] = xstrdup(text);
    r->lines[i] = r->line;
    return 0;
}

/* libinih's handler: 1 is good, 0 is an error. */
static int on_key(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *r = arg;
    if (r->rc != 0) {
        return 0;
    }
    if (section[0] == '\0') {
        return refuse_key(r, name, "stands before the first section") == 0;
    }
    const struct config_row *row = row_of(r->config, section, name);
    if (row) {
        return accept_key(r, row, value) == 0;
    }
    bool ours = is_own_section(r->config, section) || text_eq(section, "common");
    return ours ? refuse_key(r, name, "is unknown in this section; see --print-config") == 0 : 1;
}

/* libinih is configured by globals. */
static void set_ini_options(void)
{
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    ini_stop_on_first_error = true;
    ini_use_stack = false;
    ini_allow_realloc = false;
    ini_max_line = LINE_MAX_BYTES;
    ini_initial_alloc = LINE_MAX_BYTES;
}

static void reading_done(struct reading *r)
{
    size_t n = row_count(r->config->rows);
    for (size_t i = 0; r->texts && i < n; i++) {
        free(r->texts[i]);
    }
    free(r->texts);
    free(r->lines);
    if (r->file) {
        (void)fclose(r->file);
    }
}

static int read_file(struct reading *r)
{
    size_t n = row_count(r->config->rows);
    r->texts = xcalloc(n, sizeof(*r->texts));
    r->lines = xcalloc(n, sizeof(*r->lines));
    r->file = fopen(r->path, "re");
    if (!r->file) {
        return xp_fail(r->err, XP_NOT_FOUND, "%s: cannot be opened: %s", r->path, strerror(errno));
    }
    set_ini_options();
    int bad_line = ini_parse_stream(read_line, r, on_key, r);
    if (r->rc == 0 && bad_line != 0) {
        r->line = bad_line > 0 ? bad_line : r->line;
        (void)refuse(r, "is neither 'key = value' nor '[section]'");
    }
    return r->rc;
}

int config_load(struct config *c, const char *path, struct xp_err *err)
{
    CLEANUP(reading_done) struct reading r = { .config = c, .path = path, .err = err };
    int rc = read_file(&r);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; c->rows[i].name; i++) {
        if (r.texts[i] && !c->pinned[i]) {
            apply(c, &c->rows[i], r.texts[i]);
        }
    }
    return 0;
}

int config_set(struct config *c, const char *assignment, struct xp_err *err)
{
    const char *eq = strchr(assignment, '=');
    if (!eq) {
        return xp_fail(err, XP_INVALID, "'%.80s' is not key=value", assignment);
    }
    AUTO_FREE char *name = xstrndup(assignment, (size_t)(eq - assignment));
    const struct config_row *row = row_of(c, NULL, name);
    if (!row) {
        return xp_fail(err, XP_INVALID, "key '%.60s' is unknown; see --print-config", name);
    }
    union value unused;
    struct xp_err why = { 0 };
    if (parse_value(row, eq + 1, &unused, &why) != 0) {
        return xp_fail(err, XP_INVALID, "key '%s': %s", name, why.msg);
    }
    apply(c, row, eq + 1);
    c->pinned[row - c->rows] = true;
    return 0;
}

/* The plain value, secrets included. Returns owned (free). */
static char *current_text(const struct config *c, const struct config_row *row)
{
    switch (row->type) {
    case CFG_INT:
        return xasprintf("%lld", (long long)*(int64_t *)field(c, row));
    case CFG_BOOL:
        return xstrdup(*(bool *)field(c, row) ? "true" : "false");
    case CFG_TEXT:
    case CFG_SECRET:
        break;
    }
    return xstrdup(*(char **)field(c, row));
}

/* "on" and "true" are one value. */
static bool is_current(const struct config *c, const struct config_row *row, const char *text)
{
    bool flag = false;
    if (row->type == CFG_BOOL && flag_from_text(text, &flag)) {
        return flag == *(bool *)field(c, row);
    }
    int64_t number = 0;
    if (row->type == CFG_INT && text_to_i64(text, strlen(text), INT64_MIN, INT64_MAX, &number)) {
        return number == *(int64_t *)field(c, row);
    }
    AUTO_FREE char *current = current_text(c, row);
    return text_eq(current, text);
}

int config_reload(struct config *c, const char *path,
                  void (*report)(const char *key, bool applied, void *arg), void *arg,
                  struct xp_err *err)
{
    CLEANUP(reading_done) struct reading r = { .config = c, .path = path, .err = err };
    int rc = read_file(&r);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; c->rows[i].name; i++) {
        const struct config_row *row = &c->rows[i];
        const char *text = r.texts[i] ? r.texts[i] : default_text(row);
        if (c->pinned[i] || is_current(c, row, text)) {
            continue;
        }
        if (row->reloadable) {
            apply(c, row, text);
        }
        report(row->name, row->reloadable, arg);
    }
    return 0;
}

static void print_range(const struct config_row *row, FILE *out)
{
    switch (row->type) {
    case CFG_INT:
        (void)fprintf(out, "%s%s%lld to %lld", row->unit, row->unit[0] ? ", " : "",
                      (long long)row->min, (long long)row->max);
        return;
    case CFG_BOOL:
        (void)fputs("true or false", out);
        return;
    case CFG_TEXT:
    case CFG_SECRET:
        (void)fprintf(out, "%s, %lld to %lld bytes", row->type == CFG_TEXT ? "text" : "secret",
                      (long long)row->min, (long long)row->max);
        return;
    }
}

void config_print_ini(const struct config_row *rows, FILE *out)
{
    const char *section = "";
    for (const struct config_row *row = rows; row->name; row++) {
        if (!text_eq(row->section, section)) {
            (void)fprintf(out, "%s[%s]\n", row == rows ? "" : "\n", row->section);
            section = row->section;
        }
        (void)fprintf(out, "\n; %s.\n; ", row->help);
        print_range(row, out);
        (void)fprintf(out, "; %s\n", row->reloadable ? "SIGHUP applies it" : "needs a restart");
        const char *value = default_text(row);
        (void)fprintf(out, "%s =%s%s\n", row->name, value[0] ? " " : "", value);
    }
}

char *config_value_text(const struct config *c, const char *name)
{
    const struct config_row *row = row_of(c, NULL, name);
    if (!row) {
        return NULL;
    }
    return row->type == CFG_SECRET ? xstrdup("***") : current_text(c, row);
}
