/* action_record.c - see action_record.h. */
#include "meta/shards/action_record.h"

#include "shared/base/mem.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

void action_record_free(struct action_record *record)
{
    if (record) {
        free(record->command);
        free(record->reply);
        free(record);
    }
}

void action_record_set(struct action_record **record, const char *rule, const char *command,
                       const char *reply)
{
    action_record_free(*record);
    *record = xcalloc(1, sizeof(**record));
    **record = (struct action_record){
        .at = clock_wall_ms(),
        .rule = rule,
        .command = xstrdup(command),
        .reply = xstrdup(reply),
    };
}

json_t *action_record_to_json(const struct action_record *record)
{
    if (!record) {
        return json_null();
    }
    return json_pack("{s:I, s:s, s:o, s:o}", "at", (json_int_t)record->at, "rule", record->rule,
                     "command", jd_text(record->command), "reply", jd_text(record->reply));
}
