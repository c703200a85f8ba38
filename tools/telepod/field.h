/* Fields of a JSON object that a pod sent: a field that is missing or of another type reads as 0, "" or false. */
#ifndef TELEPOD_TOOLS_FIELD_H
#define TELEPOD_TOOLS_FIELD_H

#include <cjson/cJSON.h>
#include <stdbool.h>

static inline double field_number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static inline const char *field_text(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static inline bool field_true(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* The object or array of that key; NULL: none. The macros of cJSON that walk children accept NULL. */
static inline const cJSON *field(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

#endif
