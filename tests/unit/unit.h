/* unit.h - what every cmocka test includes, in the order that cmocka.h asks for. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Runs 'block' in a child and checks that it ends by SIGABRT: how xp_check is tested. */
#define ASSERT_ABORTS(block)                                                                       \
    do {                                                                                           \
        pid_t child_ = fork();                                                                     \
        assert_true(child_ >= 0);                                                                  \
        if (child_ == 0) {                                                                         \
            (void)signal(SIGABRT, SIG_DFL);                                                        \
            (void)close(STDERR_FILENO); /* the text of a check is expected here */                 \
            block;                                                                                 \
            _exit(0);                                                                              \
        }                                                                                          \
        int status_ = 0;                                                                           \
        assert_int_equal(waitpid(child_, &status_, 0), child_);                                    \
        assert_true(WIFSIGNALED(status_));                                                         \
        assert_int_equal(WTERMSIG(status_), SIGABRT);                                              \
    } while (0)

#endif
