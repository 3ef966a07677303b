/* peerof_fuzz.c - PEEROF commands of others (a word each line), and those that we would build of a peer and a route from
 * outside: what peerof_check passes is also what peerof_check_words passes, so that the two gates agree. */
#include "shared/base/str.h"
#include "shared/crdt/peerof.h"
#include "tests/fuzz/fuzz.h"

#include "shared/base/banned.h"

#define OWN_GID 5

static void check_ours(const char *gid, const char *addr, const char *route_words)
{
    struct peerof_context context = { .own_gid = OWN_GID, .own_addr = addr_of("10.0.0.1", 6379) };
    struct peerof_target target = { 0 };
    struct peerof_words words;
    struct route route;
    struct xp_err err = { 0 };
    int64_t number = 0;
    static const char info[] = "xredis_crdt_version:1.0.15\r\n";
    struct redis_server_info server;
    redis_server_info_parse(info, sizeof(info) - 1, &server);
    context.version = server.version;
    (void)text_to_i64(gid, strlen(gid), INT32_MIN, INT32_MAX, &number);
    target.gid = (int)number;
    if (addr_parse(addr, strlen(addr), &target.addr, &err) != 0) {
        return;
    }
    if (route_words && route_parse(route_words, strlen(route_words), &route, &err) == 0) {
        target.route = &route;
    }
    if (peerof_check(&target, &context, &err) != 0) {
        xp_check(err.msg[0]);
        return;
    }
    xp_check(target.gid >= CRDT_GID_MIN && target.gid <= CRDT_GID_MAX && target.gid != OWN_GID);
    peerof_build(&target, &words);
    xp_check(words.count <= PEEROF_WORDS_MAX);
    xp_check(peerof_check_words(words.count, (const char *const *)words.word, OWN_GID, &err) == 0);
    free(peerof_words_text(&words));
    peerof_words_done(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input in = { (const char *)bytes, (const char *)bytes + size };
    char *words[PEEROF_WORDS_MAX + 4] = { NULL };
    size_t count = 0;
    struct xp_err err = { 0 };
    while (count < ARRAY_LEN(words) && (words[count] = fuzz_line(&in)) != NULL) {
        count++;
    }
    int rc = peerof_check_words(count, (const char *const *)words, OWN_GID, &err);
    xp_check(rc == 0 || err.msg[0]);
    if (count >= 3) {
        check_ours(words[1], words[2], words[3]);
    }
    for (size_t i = 0; i < count; i++) {
        free(words[i]);
    }
    return 0;
}
