/* fault_fuzz.c - XPIPE_FAULTS and the body of POST /debug/fault: taken, or refused with nothing changed. */
#include "shared/base/fault.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)bytes, size);
    struct xp_err err = { 0 };
    xp_check(fault_configure("http_reply_lost=error", &err) == 0);
    if (fault_configure(text, &err) != 0) {
        xp_check(err.msg[0] && fault_hit(FAULT_http_reply_lost) == 1);
    }
    xp_check(fault_configure(NULL, &err) == 0 && fault_hit(FAULT_http_reply_lost) == 0);
    return 0;
}
