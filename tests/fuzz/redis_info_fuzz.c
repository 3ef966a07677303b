/* redis_info_fuzz.c - INFO server replies. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/crdt/crdt_info.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct redis_server_info info;
    redis_server_info_parse((const char *)bytes, size, &info);
    bool is_old = !crdt_version_has_peerof(&info.version);
    if (is_old && crdt_version_has_proxy(&info.version)) {
        abort(); /* proxies came later */
    }
    if (strnlen(info.run_id, sizeof(info.run_id)) == sizeof(info.run_id)) {
        abort(); /* not terminated */
    }
    return 0;
}
