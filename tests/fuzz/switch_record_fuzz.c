/* switch_record_fuzz.c - the record of a switchover in ZooKeeper, where anybody may write: what is accepted is written and read
 * again, and is the same then. */
#include <string.h>

#include "meta/primary/switch_record.h"
#include "shared/base/mem.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct switch_record first;
    struct switch_record second;
    struct xp_err err;
    AUTO_FREE char *exact = xmemdup(bytes, size);
    if (switch_record_from_text(exact, size, &first, &err) != 0) {
        xp_check(err.msg[0]);
        return 0;
    }
    AUTO_FREE char *written = switch_record_to_text(&first);
    xp_check(switch_record_from_text(written, strlen(written), &second, &err) == 0);
    AUTO_FREE char *again = switch_record_to_text(&second);
    xp_check(strcmp(written, again) == 0 && first.version == -1);
    return 0;
}
