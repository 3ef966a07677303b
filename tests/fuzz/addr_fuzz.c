/* addr_fuzz.c - any bytes as address: what is accepted prints and parses back to the same. */
#include <stdint.h>
#include <string.h>

#include "shared/base/addr.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xmemdup(data, size); /* exactly as long as it says */
    struct addr a = { 0 };
    struct addr again = { 0 };
    if (addr_parse(text, size, &a, NULL) != 0) {
        xp_check(addr_is_none(&a));
        return 0;
    }
    const char *shown = ADDR_TEXT(&a);
    xp_check(addr_parse(shown, strlen(shown), &again, NULL) == 0);
    xp_check(addr_eq(&a, &again) && strcmp(a.host, again.host) == 0);
    xp_check(a.port >= 1 && a.port <= 65535 && !addr_is_none(&a));
    return 0;
}
