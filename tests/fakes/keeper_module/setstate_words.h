/* setstate_words.h - the words of KEEPER SETSTATE, read as a real keeper reads them (4.2). Pure. */
#ifndef TESTS_FAKES_KEEPER_MODULE_SETSTATE_WORDS_H
#define TESTS_FAKES_KEEPER_MODULE_SETSTATE_WORDS_H

#include "tests/fakes/keeper_module/keeper_standin.h"

/* argv: the words behind SETSTATE. Fills state and target, or gives the text of the error reply, without its "-".
 * "PROXY ROUTE ..." in one single argument is no proxy word: the target is then a direct one, without an error. */
bool setstate_parse(const char *const *argv, int argc, enum keeper_state *ret_state,
                    struct target *ret_target, char *error, size_t error_size);

#endif
