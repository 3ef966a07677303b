/* golden.h - runs one pure function over a folder of recorded inputs and compares its text with the record.
 *
 * tests/golden/DUTY/NAME.json is an input, NAME.txt beside it the expected output. `DUTY_golden --update`
 * writes the outputs anew: read the diff before it is committed. Output: TAP ("ok 1 - name", or
 * "not ok 1 - name: why" with the first different line); exit status 1 when anything failed or nothing was found. */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H

#include <jansson.h>

#include "shared/base/str.h"

/* Turns one input text into the output text. An error fails the case. */
typedef int golden_fn(const char *input, size_t length, struct str *out, struct xp_err *err);

/* 'folder' is relative to the top of the source tree, where the tests are run. Returns the exit status. */
int golden_main(int argc, char **argv, const char *folder, golden_fn *fn);
/* The same for a function of parsed JSON. */
typedef int golden_json_fn(const json_t *input, struct str *out, struct xp_err *err);
int golden_json_main(int argc, char **argv, const char *folder, golden_json_fn *fn);

#endif
