/* zk_records_fuzz.c - what stands in ZooKeeper, where anybody may write: slot records, registrations of members, node names.
 * What is accepted survives being written and read again. */
#include "meta/slots/slot.h"
#include "meta/zk/server_info.h"
#include "shared/base/str.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

static void check_slot(const char *text, size_t length)
{
    struct slot slot;
    struct slot again;
    struct xp_err err;
    if (slot_parse(text, length, &slot, &err) != 0) {
        xp_check(err.msg[0]);
        return;
    }
    xp_check(slot.server_id >= 0 && slot.to_server_id >= 0);
    const char *written = SLOT_TEXT(&slot);
    xp_check(slot_parse(written, strlen(written), &again, &err) == 0 && slot_eq(&slot, &again));
}

static void check_server(const char *text, size_t length)
{
    struct server_info info;
    struct server_info again;
    struct xp_err err;
    if (server_info_parse(7, text, length, &info, &err) != 0) {
        xp_check(err.msg[0]);
        return;
    }
    xp_check(!addr_is_none(&info.addr));
    char written[SERVER_TEXT_MAX];
    server_info_text(&info, written);
    xp_check(server_info_parse(7, written, strlen(written), &again, &err) == 0);
    xp_check(server_info_eq(&info, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    AUTO_FREE char *exact = xmemdup(bytes, size);
    AUTO_FREE char *name = xstrndup((const char *)bytes, size);
    int64_t id;
    check_slot(exact, size);
    check_server(exact, size);
    if (server_id_parse(name, &id)) {
        xp_check(id >= 1 && id <= SERVER_ID_MAX);
    }
    return 0;
}
