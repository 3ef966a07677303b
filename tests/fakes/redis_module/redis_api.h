/* redis_api.h - the part of the Redis 7.0 module interface that the stand-ins use.
 *
 * Not a copy of redismodule.h (Debian does not ship one): only the functions, types and numbers
 * needed here. Each function is a pointer RM_Name, filled by redis_api_load() through the
 * look-up function whose address is the first word of the context given to RedisModule_OnLoad.
 * Thread: any, but every call except RM_ThreadSafeContextLock and RM_Log needs the server lock
 * (see the module's own header). */
#ifndef TESTS_FAKES_REDIS_MODULE_REDIS_API_H
#define TESTS_FAKES_REDIS_MODULE_REDIS_API_H

#include <stddef.h>
#include <stdint.h>

enum { RM_OK = 0, RM_ERR = 1, RM_API_VERSION = 1 };

/* Answers of RM_CallReplyType and RM_KeyType. */
enum { RM_REPLY_STRING = 0, RM_REPLY_ERROR = 1, RM_REPLY_INTEGER = 2, RM_REPLY_ARRAY = 3 };
enum { RM_KEYTYPE_EMPTY = 0, RM_KEYTYPE_STRING = 1 };
enum { RM_READ = 1 };

/* Bits of RM_GetContextFlags. */
enum {
    RM_CTX_MASTER = 1 << 2,
    RM_CTX_SLAVE = 1 << 3,
    RM_CTX_CLUSTER = 1 << 5,
    RM_CTX_REPLICATED = 1 << 12, /* the command came from the master of this replica */
    RM_CTX_LOADING = 1 << 13,
    RM_CTX_STALE = 1 << 14, /* replica whose master link is down */
};

/* Classes of keyspace events. */
enum { RM_NOTIFY_GENERIC = 1 << 2, RM_NOTIFY_STRING = 1 << 3, RM_NOTIFY_EXPIRED = 1 << 8 };

enum { RM_FILTER_NOT_SELF = 1 << 0 };
enum { RM_AUX_BEFORE_RDB = 1 << 0 };

/* Server events: numbers and sub-numbers. */
enum { RM_EVENT_ROLE = 0, RM_EVENT_CLIENT = 4 };
enum { RM_SUB_NOW_MASTER = 0, RM_SUB_NOW_REPLICA = 1, RM_SUB_CLIENT_GONE = 1 };

struct rm_ctx;
struct rm_string;
struct rm_reply;
struct rm_key;
struct rm_command;
struct rm_filter;
struct rm_filter_ctx;
struct rm_blocked;
struct rm_dict;
struct rm_dict_iter;
struct rm_io;
struct rm_type;

struct rm_event {
    uint64_t id;
    uint64_t data_version;
};

struct rm_client_info { /* version 1 */
    uint64_t version;
    uint64_t flags;
    uint64_t id;
    char addr[46];
    uint16_t port;
    uint16_t db;
};

/* Methods of a data type, version 2; the stand-in has no keys of its type, only the data beside
 * them. */
struct rm_type_methods {
    uint64_t version;
    void *(*rdb_load)(struct rm_io *, int);
    void (*rdb_save)(struct rm_io *, void *);
    void (*aof_rewrite)(struct rm_io *, struct rm_string *, void *);
    size_t (*mem_usage)(const void *);
    void (*digest)(void *, void *);
    void (*free)(void *);
    int (*aux_load)(struct rm_io *, int version, int when);
    void (*aux_save)(struct rm_io *, int when);
    int aux_save_triggers;
};

/* What COMMAND INFO shows; everything but the arity stays empty. */
struct rm_command_info_version {
    int version;
    size_t history_bytes;
    size_t keyspec_bytes;
    size_t arg_bytes;
};
struct rm_command_info {
    const struct rm_command_info_version *version;
    const char *summary;
    const char *complexity;
    const char *since;
    void *history;
    const char *tips;
    int arity;
    void *key_specs;
    void *args;
};

typedef int rm_command_fn(struct rm_ctx *, struct rm_string **argv, int argc);
typedef void rm_filter_fn(struct rm_filter_ctx *);
typedef void rm_timer_fn(struct rm_ctx *, void *);
typedef void rm_event_fn(struct rm_ctx *, struct rm_event, uint64_t sub, void *data);
typedef int rm_notify_fn(struct rm_ctx *, int type, const char *event, struct rm_string *key);
typedef void rm_free_fn(struct rm_ctx *, void *);

/* clang-format off */
#define REDIS_API(X) \
    X(int, SetModuleAttribs, (struct rm_ctx *, const char *name, int version, int api_version)) \
    X(int, CreateCommand, (struct rm_ctx *, const char *name, rm_command_fn *, const char *flags, \
                           int first_key, int last_key, int step)) \
    X(struct rm_command *, GetCommand, (struct rm_ctx *, const char *name)) \
    X(int, SetCommandInfo, (struct rm_command *, const struct rm_command_info *)) \
    X(int, WrongArity, (struct rm_ctx *)) \
    X(unsigned long long, GetClientId, (struct rm_ctx *)) \
    X(struct rm_string *, GetClientNameById, (struct rm_ctx *, uint64_t id)) \
    X(int, ReplyWithSimpleString, (struct rm_ctx *, const char *)) \
    X(int, ReplyWithError, (struct rm_ctx *, const char *)) \
    X(int, ReplyWithLongLong, (struct rm_ctx *, long long)) \
    X(int, ReplyWithArray, (struct rm_ctx *, long)) \
    X(int, ReplyWithStringBuffer, (struct rm_ctx *, const char *, size_t)) \
    X(int, ReplyWithCString, (struct rm_ctx *, const char *)) \
    X(int, ReplyWithCallReply, (struct rm_ctx *, struct rm_reply *)) \
    X(const char *, StringPtrLen, (const struct rm_string *, size_t *)) \
    X(struct rm_string *, CreateString, (struct rm_ctx *, const char *, size_t)) \
    X(void, FreeString, (struct rm_ctx *, struct rm_string *)) \
    X(int, StringToLongLong, (const struct rm_string *, long long *)) \
    X(struct rm_reply *, Call, (struct rm_ctx *, const char *command, const char *format, ...)) \
    X(void, FreeCallReply, (struct rm_reply *)) \
    X(int, CallReplyType, (struct rm_reply *)) \
    X(const char *, CallReplyStringPtr, (struct rm_reply *, size_t *)) \
    X(long long, CallReplyInteger, (struct rm_reply *)) \
    X(size_t, CallReplyLength, (struct rm_reply *)) \
    X(struct rm_reply *, CallReplyArrayElement, (struct rm_reply *, size_t)) \
    X(void, Log, (struct rm_ctx *, const char *level, const char *format, ...)) \
    X(uint64_t, CreateTimer, (struct rm_ctx *, long long period_ms, rm_timer_fn *, void *)) \
    X(struct rm_blocked *, BlockClient, (struct rm_ctx *, rm_command_fn *reply, rm_command_fn *timeout, \
                                         rm_free_fn *, long long timeout_ms)) \
    X(int, UnblockClient, (struct rm_blocked *, void *)) \
    X(unsigned long long, GetClientId, (struct rm_ctx *)) \
    X(int, GetClientInfoById, (void *info, uint64_t id)) \
    X(int, DeauthenticateAndCloseClient, (struct rm_ctx *, uint64_t id)) \
    X(int, GetContextFlags, (struct rm_ctx *)) \
    X(int, GetSelectedDb, (struct rm_ctx *)) \
    X(int, Replicate, (struct rm_ctx *, const char *command, const char *format, ...)) \
    X(int, ReplicateVerbatim, (struct rm_ctx *)) \
    X(int, SubscribeToKeyspaceEvents, (struct rm_ctx *, int types, rm_notify_fn *)) \
    X(int, SubscribeToServerEvent, (struct rm_ctx *, struct rm_event, rm_event_fn *)) \
    X(struct rm_type *, CreateDataType, (struct rm_ctx *, const char *name, int version, \
                                         struct rm_type_methods *)) \
    X(void, SaveUnsigned, (struct rm_io *, uint64_t)) \
    X(uint64_t, LoadUnsigned, (struct rm_io *)) \
    X(void, SaveStringBuffer, (struct rm_io *, const char *, size_t)) \
    X(char *, LoadStringBuffer, (struct rm_io *, size_t *)) \
    X(void, Free, (void *)) \
    X(struct rm_ctx *, GetDetachedThreadSafeContext, (struct rm_ctx *)) \
    X(void, ThreadSafeContextLock, (struct rm_ctx *)) \
    X(void, ThreadSafeContextUnlock, (struct rm_ctx *)) \
    X(struct rm_filter *, RegisterCommandFilter, (struct rm_ctx *, rm_filter_fn *, int flags)) \
    X(int, CommandFilterArgsCount, (struct rm_filter_ctx *)) \
    X(const struct rm_string *, CommandFilterArgGet, (struct rm_filter_ctx *, int)) \
    X(int, CommandFilterArgInsert, (struct rm_filter_ctx *, int, struct rm_string *)) \
    X(int, CommandFilterArgReplace, (struct rm_filter_ctx *, int, struct rm_string *)) \
    X(struct rm_dict *, CreateDict, (struct rm_ctx *)) \
    X(uint64_t, DictSize, (struct rm_dict *)) \
    X(int, DictSetC, (struct rm_dict *, const void *key, size_t, void *)) \
    X(void *, DictGetC, (struct rm_dict *, const void *key, size_t, int *missing)) \
    X(int, DictDelC, (struct rm_dict *, const void *key, size_t, void *old)) \
    X(struct rm_dict_iter *, DictIteratorStartC, (struct rm_dict *, const char *op, const void *, size_t)) \
    X(void *, DictNextC, (struct rm_dict_iter *, size_t *, void **data)) \
    X(void, DictIteratorStop, (struct rm_dict_iter *)) \
    X(struct rm_key *, OpenKey, (struct rm_ctx *, const struct rm_string *, int mode)) \
    X(void, CloseKey, (struct rm_key *)) \
    X(int, KeyType, (struct rm_key *)) \
    X(char *, StringDMA, (struct rm_key *, size_t *, int mode))
/* clang-format on */

/* Hidden: redis-server exports functions of the same names, which would be taken instead. */
#define REDIS_API_DECLARE(type, name, args)                                                        \
    extern __attribute__((visibility("hidden"))) type(*RM_##name) args;
REDIS_API(REDIS_API_DECLARE)
#undef REDIS_API_DECLARE

/* Fills every pointer. Returns NULL, or the name of the first function this server does not
 * offer. */
const char *redis_api_load(struct rm_ctx *ctx);

#endif
