/* source_choose_golden.c - what the tree of a shard pulls from, over recorded situations (tree_situation.h). */
#include "meta/keepers/source_choose.h"
#include "tests/golden/golden.h"
#include "tests/golden/tree_situation.h"

#include "shared/base/banned.h"

static void print(const struct tree_situation *s, struct str *out)
{
    struct source_choice choice;
    source_choose(&s->facts, &choice);
    str_printf(out, "%s %s", choice.rule, source_verdict_text(choice.verdict));
    if (choice.verdict == SOURCE_CHANGE) {
        str_printf(out, " to %s", ADDR_TEXT(&choice.addr));
    }
    str_printf(out, ", masters %d, silent %d\n", choice.masters, choice.silent);
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    return tree_situation_run(input, length, out, err, print);
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/source_choose", run);
}
