/* http_route.c - see http_route.h. Patterns are sorted by number of segments, then literals first,
 * so that a look-up walks one short run and the first hit is the most specific one. */
#include "shared/net/http_route.h"
#include "shared/base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

struct segment {
    const char *text; /* borrowed from the route; not terminated; of a parameter: its name */
    size_t length;
    bool is_param;
};

struct http_pattern {
    const struct http_route *route;
    size_t order; /* position in the tables */
    size_t count;
    struct segment segment[HTTP_SEGMENTS_MAX];
};

struct http_table {
    struct http_pattern *patterns; /* owned */
    size_t count;
    size_t first[HTTP_SEGMENTS_MAX + 2]; /* patterns with n segments: first[n] up to first[n + 1] */
};

/* ---- decoding ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* Decodes one segment, name or value to 'out' (length + 1 bytes). Returns NULL, or why not ('out'
 * is then ""). */
static const char *decode(const char *in, size_t length, bool plus_is_blank, char *out)
{
    size_t n = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < length && !wrong; i++) {
        char c = in[i];
        if (c == '%') {
            int high = length - i > 2 ? hex_value(in[i + 1]) : -1;
            int low = length - i > 2 ? hex_value(in[i + 2]) : -1;
            if (high < 0 || low < 0) {
                wrong = "has an incomplete percent-encoding";
                break;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        wrong = c == '\0' ? "contains a NUL byte" : NULL;
        out[n++] = c;
    }
    if (!wrong && !text_is_utf8(out, n)) {
        wrong = "is not valid UTF-8";
    }
    out[wrong ? 0 : n] = '\0';
    return wrong;
}

void http_printable(const char *text, size_t length, char *out, size_t size)
{
    size_t n = 0;
    for (; n < length && n + 1 < size; n++) {
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    }
    out[n] = '\0';
}

/* ---- paths ---- */

/* The next segment of a raw path; *ret_cursor stands on its '/'. */
static bool next_segment(const char **ret_cursor, const char *end, const char **ret_text,
                         size_t *ret_length)
{
    const char *p = *ret_cursor;
    if (p >= end) {
        return false;
    }
    p++;
    const char *slash = memchr(p, '/', (size_t)(end - p));
    const char *stop = slash ? slash : end;
    *ret_text = p;
    *ret_length = (size_t)(stop - p);
    *ret_cursor = stop;
    return true;
}

int http_path_parse(const char *raw, size_t length, struct http_path *ret_path)
{
    if (length == 0 || raw[0] != '/') {
        return HTTP_PATH_UNKNOWN;
    }
    const char *end = raw + length - (raw[length - 1] == '/' ? 1 : 0);
    struct http_path path = { .text = xmalloc(length + HTTP_SEGMENTS_MAX + 1) };
    char *out = path.text;
    const char *text;
    size_t n;
    for (const char *cursor = raw; next_segment(&cursor, end, &text, &n);) {
        if (path.count == HTTP_SEGMENTS_MAX || n == 0) {
            http_path_done(&path);
            return HTTP_PATH_UNKNOWN;
        }
        path.wrong[path.count] = decode(text, n, false, out);
        path.segment[path.count++] = out;
        out += strlen(out) + 1;
    }
    *ret_path = path;
    return 0;
}

void http_path_done(struct http_path *path)
{
    free(path->text);
    *path = (struct http_path){ 0 };
}

/* ---- queries ---- */

/* Returns what is wrong with it, or NULL and the text at 'ret_text'; *out moves behind it. */
static const char *decode_query_part(const char *in, size_t length, char **out,
                                     const char **ret_text)
{
    const char *wrong = decode(in, length, true, *out);
    if (!wrong) {
        *ret_text = *out;
        *out += strlen(*out) + 1;
    }
    return wrong;
}

/* One "name=value" or "name". */
static int add_pair(struct http_query *query, const char *pair, size_t length, char **out,
                    struct xp_err *err)
{
    if (query->count == HTTP_QUERY_MAX) {
        return xp_fail(err, XP_INVALID, "the query has more than %d parameters", HTTP_QUERY_MAX);
    }
    const char *equals = memchr(pair, '=', length);
    size_t name_length = equals ? (size_t)(equals - pair) : length;
    size_t value_length = equals ? length - name_length - 1 : 0;
    const char *name = NULL;
    const char *value = NULL;
    const char *wrong = decode_query_part(pair, name_length, out, &name);
    if (!wrong) {
        wrong = decode_query_part(equals ? equals + 1 : "", value_length, out, &value);
    }
    if (wrong) {
        char label[65];
        http_printable(pair, name_length, label, sizeof(label));
        return xp_fail(err, XP_INVALID, "query parameter '%s' %s", label, wrong);
    }
    query->name[query->count] = name;
    query->value[query->count++] = value;
    return 0;
}

int http_query_parse(const char *raw, size_t length, struct http_query *ret_query,
                     struct xp_err *err)
{
    struct http_query query = { .text = xmalloc(length + 2 * HTTP_QUERY_MAX + 2) };
    char *out = query.text;
    const char *end = raw + length;
    for (const char *p = raw; p < end;) {
        const char *amp = memchr(p, '&', (size_t)(end - p));
        size_t n = (size_t)((amp ? amp : end) - p);
        int rc = n > 0 ? add_pair(&query, p, n, &out, err) : 0;
        if (rc) {
            http_query_done(&query);
            return rc;
        }
        p += n + 1;
    }
    *ret_query = query;
    return 0;
}

void http_query_done(struct http_query *query)
{
    free(query->text);
    *query = (struct http_query){ 0 };
}

/* ---- the table ---- */

static int bad_route(const struct http_route *route, const char *why, struct xp_err *err)
{
    return xp_fail(err, XP_INVALID, "route %s %s: %s", route->method,
                   route->path ? route->path : "(no path)", why);
}

/* A literal, or "{name}" as a whole: braces anywhere else are a mistake in the table. */
static bool segment_init(struct segment *s, const char *text, size_t length)
{
    *s = (struct segment){ .text = text, .length = length };
    if (length > 2 && text[0] == '{' && text[length - 1] == '}') {
        *s = (struct segment){ .text = text + 1, .length = length - 2, .is_param = true };
    }
    return s->length > 0 && !memchr(s->text, '{', s->length) && !memchr(s->text, '}', s->length);
}

static int pattern_init(struct http_pattern *p, const struct http_route *route, size_t order,
                        struct xp_err *err)
{
    *p = (struct http_pattern){ .route = route, .order = order };
    if (!route->handler || !route->path || route->path[0] != '/') {
        return bad_route(route, "needs a handler and a path that starts with '/'", err);
    }
    size_t length = strlen(route->path);
    const char *end = route->path + length - (length == 1 ? 1 : 0);
    const char *text;
    size_t n;
    for (const char *cursor = route->path; next_segment(&cursor, end, &text, &n);) {
        if (p->count == HTTP_SEGMENTS_MAX) {
            return bad_route(route, "has too many segments", err);
        }
        if (!segment_init(&p->segment[p->count++], text, n)) {
            return bad_route(route, "has an empty segment or misplaced braces", err);
        }
    }
    return 0;
}

static int compare_segments(const struct segment *a, const struct segment *b)
{
    if (a->is_param != b->is_param) {
        return a->is_param ? 1 : -1;
    }
    if (a->is_param) {
        return 0;
    }
    size_t shorter = a->length < b->length ? a->length : b->length;
    int difference = strncasecmp(a->text, b->text, shorter);
    return difference != 0 ? difference : (a->length > b->length) - (a->length < b->length);
}

static bool is_any(const struct http_route *route)
{
    return strcmp(route->method, "*") == 0;
}

/* 0: the two answer the same paths with the same method. */
static int compare_patterns(const struct http_pattern *a, const struct http_pattern *b)
{
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (size_t i = 0; i < a->count; i++) {
        int difference = compare_segments(&a->segment[i], &b->segment[i]);
        if (difference != 0) {
            return difference;
        }
    }
    if (is_any(a->route) != is_any(b->route)) {
        return is_any(a->route) ? 1 : -1;
    }
    return strcmp(a->route->method, b->route->method);
}

static int by_specificity(const void *x, const void *y)
{
    const struct http_pattern *a = x;
    const struct http_pattern *b = y;
    int difference = compare_patterns(a, b);
    return difference != 0 ? difference : (a->order > b->order) - (a->order < b->order);
}

static size_t count_routes(const struct http_route *const *tables)
{
    size_t count = 0;
    for (; *tables; tables++) {
        for (const struct http_route *r = *tables; r->method; r++) {
            count++;
        }
    }
    return count;
}

static int fill(struct http_table *table, const struct http_route *const *tables,
                struct xp_err *err)
{
    for (; *tables; tables++) {
        for (const struct http_route *r = *tables; r->method; r++) {
            int rc = pattern_init(&table->patterns[table->count], r, table->count, err);
            if (rc) {
                return rc;
            }
            table->count++;
        }
    }
    return 0;
}

static int refuse_twins(const struct http_table *table, struct xp_err *err)
{
    for (size_t i = 1; i < table->count; i++) {
        if (compare_patterns(&table->patterns[i - 1], &table->patterns[i]) == 0) {
            return bad_route(table->patterns[i].route, "is in the tables twice", err);
        }
    }
    return 0;
}

static void index_by_count(struct http_table *table)
{
    size_t at = 0;
    for (size_t n = 0; n <= HTTP_SEGMENTS_MAX + 1; n++) {
        while (at < table->count && table->patterns[at].count < n) {
            at++;
        }
        table->first[n] = at;
    }
}

int http_table_new(const struct http_route *const *tables, struct http_table **ret_table,
                   struct xp_err *err)
{
    struct http_table *table = xcalloc(1, sizeof(*table));
    table->patterns = xcalloc(count_routes(tables), sizeof(*table->patterns));
    int rc = fill(table, tables, err);
    if (rc == 0) {
        qsort(table->patterns, table->count, sizeof(*table->patterns), by_specificity);
        rc = refuse_twins(table, err);
    }
    if (rc) {
        http_table_free(table);
        return rc;
    }
    index_by_count(table);
    *ret_table = table;
    return 0;
}

void http_table_free(struct http_table *table)
{
    if (table) {
        free(table->patterns);
        free(table);
    }
}

/* ---- matching ---- */

static bool literal_is(const struct segment *s, const char *text)
{
    return strncasecmp(s->text, text, s->length) == 0 && text[s->length] == '\0';
}

static bool pattern_fits(const struct http_pattern *p, const struct http_path *path)
{
    for (size_t i = 0; i < p->count; i++) {
        if (!p->segment[i].is_param && !literal_is(&p->segment[i], path->segment[i])) {
            return false;
        }
    }
    return true;
}

static bool method_fits(const struct http_route *route, const char *method)
{
    return is_any(route) || strcmp(route->method, method) == 0;
}

int http_table_match(const struct http_table *table, const char *method,
                     const struct http_path *path, const struct http_pattern **ret_pattern)
{
    bool is_head = strcmp(method, "HEAD") == 0;
    const struct http_pattern *get = NULL;
    int outcome = HTTP_NO_PATH;
    for (size_t i = table->first[path->count]; i < table->first[path->count + 1]; i++) {
        const struct http_pattern *p = &table->patterns[i];
        if (!pattern_fits(p, path)) {
            continue;
        }
        if (method_fits(p->route, method) && !(get && is_any(p->route))) {
            *ret_pattern = p;
            return 0;
        }
        if (is_head && !get && method_fits(p->route, "GET")) {
            get = p;
        }
        outcome = HTTP_NO_METHOD;
    }
    if (get) {
        *ret_pattern = get;
        return 0;
    }
    return outcome;
}

static void allow_one(struct str *out, const char *method)
{
    const char *cursor = str_text(out);
    const char *part;
    size_t length;
    while (text_next_part(&cursor, ",", &part, &length)) {
        if (strlen(method) == length && memcmp(part, method, length) == 0) {
            return;
        }
    }
    str_printf(out, "%s%s", out->len > 0 ? ", " : "", method);
}

void http_table_allow(const struct http_table *table, const struct http_path *path, struct str *out)
{
    for (size_t i = table->first[path->count]; i < table->first[path->count + 1]; i++) {
        const struct http_pattern *p = &table->patterns[i];
        if (!pattern_fits(p, path)) {
            continue;
        }
        allow_one(out, p->route->method);
        if (strcmp(p->route->method, "GET") == 0) {
            allow_one(out, "HEAD");
        }
    }
}

const struct http_route *http_pattern_route(const struct http_pattern *p)
{
    return p->route;
}

int http_pattern_check(const struct http_pattern *p, const struct http_path *path,
                       struct xp_err *err)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->segment[i].is_param && path->wrong[i]) {
            return xp_fail(err, XP_INVALID, "path parameter '%.*s' %s", (int)p->segment[i].length,
                           p->segment[i].text, path->wrong[i]);
        }
    }
    return 0;
}

const char *http_pattern_param(const struct http_pattern *p, const struct http_path *path,
                               const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < p->count; i++) {
        const struct segment *s = &p->segment[i];
        if (s->is_param && s->length == length && memcmp(s->text, name, length) == 0) {
            return path->segment[i];
        }
    }
    return NULL;
}

/* ---- printing ---- */

void http_routes_print(const struct http_route *const *tables, struct str *out)
{
    for (; *tables; tables++) {
        for (const struct http_route *r = *tables; r->method; r++) {
            str_printf(out, "%s %s %s %s %zu %s\n", r->method, r->path,
                       r->where == HTTP_ON_LOOP   ? "loop"
                       : r->where == HTTP_AT_ONCE ? "at-once"
                                                  : "worker",
                       r->scope ? r->scope : "-", r->max_body_bytes, r->help ? r->help : "");
        }
    }
}
