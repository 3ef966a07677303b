/* relay_choose_golden.c - which Redis of a backup DC without keepers is its relay, over recorded situations (tree_situation.h). */
#include "meta/keepers/relay_choose.h"
#include "tests/golden/golden.h"
#include "tests/golden/tree_situation.h"

#include "shared/base/banned.h"

static void print(const struct tree_situation *s, struct str *out)
{
    struct relay_choice choice;
    relay_choose(&s->facts, &choice);
    str_printf(out, "%s %s%s\n", choice.rule,
               choice.index < 0 ? "nobody" : ADDR_TEXT(&s->nodes[choice.index].addr),
               choice.is_moved ? " (moved)" : "");
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    return tree_situation_run(input, length, out, err, print);
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/relay_choose", run);
}
