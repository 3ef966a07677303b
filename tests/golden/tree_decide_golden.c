/* tree_decide_golden.c - who follows whom, and what is done about it, over recorded situations (tree_situation.h). */
#include "meta/keepers/tree_decide.h"
#include "tests/golden/golden.h"
#include "tests/golden/tree_situation.h"

#include "shared/base/banned.h"

static void print(const struct tree_situation *s, struct str *out)
{
    static struct tree_plan plan;
    tree_decide(&s->facts, &plan);
    tree_plan_print(&s->facts, &plan, out);
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    return tree_situation_run(input, length, out, err, print);
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/tree_decide", run);
}
