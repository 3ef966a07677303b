/* golden.c - the runner behind every tests/golden/NAME_golden.c. */
#include "tests/golden/golden.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define FILE_MAX_BYTES (4U << 20)

struct golden_run {
    const char *folder;
    golden_fn *fn; /* or json_fn */
    golden_json_fn *json_fn;
    bool is_update;
    int passed;
    int failed;
};

static bool read_file(const char *path, struct str *out)
{
    FILE *f = fopen(path, "rbe");
    if (!f) {
        return false;
    }
    char chunk[8192];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        str_add(out, chunk, n);
    }
    bool ok = !ferror(f) && !out->overflow;
    (void)fclose(f);
    return ok;
}

static bool write_file(const char *path, const struct str *text)
{
    FILE *f = fopen(path, "wbe");
    if (!f) {
        return false;
    }
    bool ok = fwrite(str_text(text), 1, text->len, f) == text->len;
    return fclose(f) == 0 && ok;
}

static void print_difference(const char *expected, const char *actual)
{
    int line = 1;
    while (*expected && *actual) {
        size_t e = strcspn(expected, "\n");
        size_t a = strcspn(actual, "\n");
        if (e != a || memcmp(expected, actual, e) != 0) {
            break;
        }
        expected += e + (expected[e] == '\n');
        actual += a + (actual[a] == '\n');
        line++;
    }
    printf("  line %d\n  expected: %.*s\n  actual:   %.*s\n", line, (int)strcspn(expected, "\n"),
           expected, (int)strcspn(actual, "\n"), actual);
}

static void report(struct golden_run *run, const char *name, bool ok, const char *why)
{
    run->passed += ok;
    run->failed += !ok;
    printf("%s %d - %s%s%s\n", ok ? "ok" : "not ok", run->passed + run->failed, name,
           why ? ": " : "", why ? why : "");
}

static void compare(struct golden_run *run, const char *name, const char *path,
                    const struct str *actual)
{
    AUTO_STR struct str expected = STR_INIT(FILE_MAX_BYTES);
    if (run->is_update) {
        bool ok = write_file(path, actual);
        report(run, name, ok, ok ? NULL : "cannot write the record");
        return;
    }
    if (!read_file(path, &expected)) {
        report(run, name, false, "no record; run with --update and read it");
        return;
    }
    bool same = expected.len == actual->len && strcmp(str_text(&expected), str_text(actual)) == 0;
    report(run, name, same, same ? NULL : "output differs from the record");
    if (!same) {
        print_difference(str_text(&expected), str_text(actual));
    }
}

static int call(const struct golden_run *run, const struct str *input, struct str *output,
                struct xp_err *err)
{
    if (run->fn) {
        return run->fn(str_text(input), input->len, output, err);
    }
    json_t *json = NULL;
    int rc = jd_parse(str_text(input), input->len, &json, err);
    rc = rc == 0 ? run->json_fn(json, output, err) : rc;
    json_decref(json);
    return rc;
}

static void run_case(struct golden_run *run, const char *file)
{
    AUTO_FREE char *name = xstrndup(file, strlen(file) - strlen(".json"));
    AUTO_FREE char *in_path = xasprintf("%s/%s", run->folder, file);
    AUTO_FREE char *out_path = xasprintf("%s/%s.txt", run->folder, name);
    AUTO_STR struct str input = STR_INIT(FILE_MAX_BYTES);
    AUTO_STR struct str output = STR_INIT(FILE_MAX_BYTES);
    struct xp_err err = { 0 };
    if (!read_file(in_path, &input)) {
        report(run, name, false, "cannot read the input");
    } else if (call(run, &input, &output, &err) < 0) {
        report(run, name, false, err.msg);
    } else {
        compare(run, name, out_path, &output);
    }
}

static int is_input(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static int run_all(struct golden_run *run, int argc, char **argv)
{
    run->is_update = argc > 1 && strcmp(argv[1], "--update") == 0;
    struct dirent **entries = NULL;
    int count = scandir(run->folder, &entries, is_input, alphasort);
    for (int i = 0; i < count; i++) {
        run_case(run, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", run->passed + run->failed);
    return run->failed > 0 || run->passed == 0;
}

int golden_main(int argc, char **argv, const char *folder, golden_fn *fn)
{
    struct golden_run run = { .folder = folder, .fn = fn };
    return run_all(&run, argc, argv);
}

int golden_json_main(int argc, char **argv, const char *folder, golden_json_fn *fn)
{
    struct golden_run run = { .folder = folder, .json_fn = fn };
    return run_all(&run, argc, argv);
}
